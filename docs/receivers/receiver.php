<?php
// A receiver of waybill's deliveries: PHP 8, no extensions; to verify what a key pair has signed,
// PHP's own sodium. For trying, else behind your server:
// SECRET=… SEEN=seen [SCHEME=standard|v1|v2|ed25519|rfc9421] [ORIGIN=https://…] php -S 127.0.0.1:9000 receiver.php
declare(strict_types=1);

const BODY_MAX = 17 << 20; // over waybill's longest event in canonical form
const TOLERANCE_S = 300;
const SEEN_DAYS = 7;
ini_set('display_errors', '0'); // so that an error is a 500

define('SECRET', (string)getenv('SECRET'));
define('IS_PAIR', str_starts_with(SECRET, 'whpk_')); // SECRET is then the webhook's public key
define('SCHEME', getenv('SCHEME') ?: (IS_PAIR ? 'ed25519' : 'standard'));
define('ORIGIN', (string)getenv('ORIGIN')); // of the webhook's URL, for rfc9421: what it is called outside
define('KEY', read_key());

// The key. Without one that is good no request is taken: by an empty one anybody can sign.
function read_key(): string
{
	$key = SECRET;
	if (preg_match('/^(whsec_|whpk_)(.*)$/sD', SECRET, $parts))
		$key = (string)base64_decode($parts[2], true);
	if ($key === '' || str_starts_with(SECRET, 'whsk_') || IS_PAIR && strlen($key) !== 32)
		throw new Exception("SECRET must be the webhook's secret, or its public_key");
	if (!in_array(SCHEME, IS_PAIR ? ['ed25519', 'rfc9421'] : ['standard', 'v1', 'v2', 'rfc9421'], true))
		throw new Exception('SCHEME must be standard, v1, v2 or rfc9421; of a public key ed25519 or rfc9421');
	return $key;
}

// The header's value; '' without one. PHP puts two together with a comma: no header of these has one.
function header_of(string $name): string
{
	$key = strtoupper(strtr($name, '-', '_'));
	return $_SERVER["HTTP_$key"] ?? $_SERVER[$key] ?? '';
}

function is_fresh(string $at): bool
{
	return preg_match('/^\d{1,12}$/D', $at) && abs(time() - (int)$at) <= TOLERANCE_S;
}

// Whether the signature, base64, is by the secret or the key pair.
function is_by_key(string $given, string $message): bool
{
	$given = (string)base64_decode($given, true);
	if (!IS_PAIR)
		return hash_equals(hash_hmac('sha256', $message, KEY, true), $given);
	return strlen($given) === 64 && sodium_crypto_sign_verify_detached($given, $message, KEY);
}

// v1: over the body, and nothing else; v2: over the time too.
function is_signed_body(string $body): bool
{
	$at = header_of('x-webhook-timestamp');
	if (SCHEME === 'v2' && !is_fresh($at))
		return false;
	$wanted = hash_hmac('sha256', SCHEME === 'v2' ? "$at.$body" : $body, SECRET);
	return hash_equals("sha256=$wanted", header_of('x-webhook-signature'));
}

// Standard Webhooks: over the id and the time too, so that neither can be changed or be old.
function is_standard(string $body): bool
{
	[$id, $at] = [header_of('webhook-id'), header_of('webhook-timestamp')];
	$version = SCHEME === 'ed25519' ? 'v1a,' : 'v1,';
	$given = header_of('webhook-signature');
	if (!is_fresh($at) || str_contains($given, ', '))
		return false;
	foreach (explode(' ', $given) as $text) // two in a rotation
		if (str_starts_with($text, $version) &&
		    is_by_key(substr($text, strlen($version)), "$id.$at.$body"))
			return true;
	return false;
}

const INPUT = '/\G([a-z][a-z0-9]*)=(\(("[^"]+"(?: "[^"]+")*)\)((?:;[a-z]+=(?:\d+|"[^"\\\\]*"))*))(?:, *|$)/D';
const SIGNATURE = '~\G([a-z][a-z0-9]*)=:([A-Za-z0-9+/=]+):(?:, *|$)~D';
const COVERED = ['@method', '@target-uri', 'content-digest', 'webhook-id']; // these at least

// The labels of a header; none where anything is not of the form, or a label is there twice.
function members(string $pattern, string $text): array
{
	$found = [];
	for ($at = 0; $at < strlen($text); $at += strlen($match[0])) {
		if (!preg_match($pattern, $text, $match, 0, $at) || isset($found[$match[1]]))
			return [];
		$found[$match[1]] = $match;
	}
	return $found;
}

// HTTP Message Signatures, RFC 9421: over what Signature-Input lists.
function is_message_signed(string $body): bool
{
	$digest = base64_encode(hash('sha256', $body, true));
	if (header_of('content-digest') !== "sha-256=:$digest:")
		return false;
	$origin = ORIGIN ?: 'http://' . header_of('host');
	$derived = ['@method' => $_SERVER['REQUEST_METHOD'], '@target-uri' => $origin . $_SERVER['REQUEST_URI']];
	$signatures = members(SIGNATURE, header_of('signature'));
	foreach (members(INPUT, header_of('signature-input')) as $label => [, , $signed, $list, $settings]) {
		$names = explode('" "', substr($list, 1, -1));
		$base = '';
		foreach ($names as $name)
			$base .= "\"$name\": " . ($derived[$name] ?? header_of($name)) . "\n";
		preg_match_all('/;([a-z]+)="?([^";]*)/', $settings, $found);
		$params = array_combine($found[1], $found[2]);
		if (($params['alg'] ?? '') === (IS_PAIR ? 'ed25519' : 'hmac-sha256') &&
		    is_fresh($params['created'] ?? '') && !array_diff(COVERED, $names) &&
		    isset($signatures[$label]) &&
		    is_by_key($signatures[$label][2], $base . "\"@signature-params\": $signed"))
			return true;
	}
	return false;
}

function is_signed(string $body): bool
{
	$id = header_of('webhook-id');
	if ($id === '' || $id !== header_of('x-webhook-id') || str_contains($id, ','))
		return false;
	if (SCHEME === 'rfc9421')
		return is_message_signed($body);
	return SCHEME === 'v1' || SCHEME === 'v2' ? is_signed_body($body) : is_standard($body);
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
	if (!is_signed($body))
		return 401;
	handle(getenv('SEEN'), header_of('x-webhook-id'), header_of('x-webhook-event'), $body);
	return 204; // only now: after anything else, and an error is a 500, it is sent again
}

http_response_code(answer());
