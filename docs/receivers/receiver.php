<?php
// A receiver of waybill's deliveries: PHP 8, no extensions.
// For trying: SECRET=… SEEN=seen php -S 127.0.0.1:9000 receiver.php; else behind your server.
declare(strict_types=1);

const BODY_MAX = 17 << 20; // over waybill's longest event in canonical form
const TOLERANCE_S = 300;
const SEEN_DAYS = 7;

function header_of(string $name): string
{
	return $_SERVER['HTTP_' . strtoupper(strtr($name, '-', '_'))] ?? '';
}

// Standard Webhooks: over the id and the time too, so that neither can be changed or be old.
function is_signed(string $secret, string $body): bool
{
	[$id, $at] = [header_of('webhook-id'), header_of('webhook-timestamp')];
	if ($id === '' || $id !== header_of('x-webhook-id') || !preg_match('/^\d{1,12}$/D', $at))
		return false;
	if (abs(time() - (int)$at) > TOLERANCE_S)
		return false;
	if (str_starts_with($secret, 'whpk_')) // of a webhook with signature ed25519: its public key
		return is_by_pair(base64_decode(substr($secret, 5)), "$id.$at.$body");
	$key = str_starts_with($secret, 'whsec_') ? base64_decode(substr($secret, 6)) : $secret;
	$wanted = 'v1,' . base64_encode(hash_hmac('sha256', "$id.$at.$body", $key, true));
	foreach (explode(' ', header_of('webhook-signature')) as $given) // two during a rotation
		if (hash_equals($wanted, $given))
			return true;
	return false;
}

function is_by_pair(string $key, string $signed): bool // needs the extension sodium, PHP's own
{
	foreach (explode(' ', header_of('webhook-signature')) as $given) {
		$signature = str_starts_with($given, 'v1a,') ? base64_decode(substr($given, 4)) : '';
		if (strlen($signature) === 64 && sodium_crypto_sign_verify_detached($signature, $signed, $key))
			return true;
	}
	return false;
}

// PHP keeps nothing between requests, so what was handled is a folder with a file for each id, which
// survives a restart. With a database, write the id in the same transaction as what the event
// changes, under a unique key, instead.
function handle(string $seen, string $id, string $event, string $body): void
{
	$mark = $seen . '/' . hash('sha256', $id);
	$lock = fopen("$seen/lock", 'c');
	flock($lock, LOCK_EX); // of two at once the second waits, and is a duplicate
	if (file_exists($mark))
		return;
	file_put_contents('php://stdout', "$event $id " . strlen($body) . "\n"); // your work
	touch($mark);
	if (random_int(0, 999) === 0) // now and then: marks older than any retry go
		foreach (glob("$seen/[0-9a-f]*") as $file)
			if (filemtime($file) < time() - SEEN_DAYS * 86400)
				unlink($file);
}

function answer(): int
{
	$body = file_get_contents('php://input', false, null, 0, BODY_MAX + 1);
	if (strlen($body) > BODY_MAX)
		return 413;
	if (!is_signed(getenv('SECRET'), $body))
		return 401;
	handle(getenv('SEEN'), header_of('x-webhook-id'), header_of('x-webhook-event'), $body);
	return 204; // only now: after anything else, and an error is a 500, it is sent again
}

ini_set('display_errors', '0'); // so that an error is a 500
http_response_code(answer());
