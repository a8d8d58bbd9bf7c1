// A receiver of waybill's deliveries: Node.js 18.3 or later, no packages.
// SECRET=… [SCHEME=standard|v1|v2|ed25519|rfc9421] [ORIGIN=https://…] [PORT=9000] node receiver.js
'use strict';
const crypto = require('crypto');
const http = require('http');

const SECRET = process.env.SECRET || '';
const IS_PAIR = SECRET.startsWith('whpk_'); // SECRET is then the webhook's public key
const SCHEME = process.env.SCHEME || (IS_PAIR ? 'ed25519' : 'standard');
const ORIGIN = process.env.ORIGIN; // of the webhook's URL, for rfc9421: what it is called outside
const BODY_MAX = 17 << 20; // over waybill's longest event in canonical form
const TOLERANCE_S = 300;
const SEEN_MAX = 100000;
const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2,3}=*)?$/;

function stop(why) {
	console.error(why);
	process.exit(1);
}

// The key. Without one that is good nothing starts: by an empty one anybody can sign.
function readKey() {
	const [form, text] = /^(whsec_|whpk_)(.*)/s.exec(SECRET)?.slice(1) || ['', SECRET];
	const key = form ? Buffer.from(BASE64.test(text) ? text : '', 'base64') : Buffer.from(text);
	if (key.length === 0 || SECRET.startsWith('whsk_') || (IS_PAIR && key.length !== 32))
		stop("SECRET must be the webhook's secret, or its public_key");
	if (!(IS_PAIR ? ['ed25519', 'rfc9421'] : ['standard', 'v1', 'v2', 'rfc9421']).includes(SCHEME))
		stop('SCHEME must be standard, v1, v2 or rfc9421; of a public key ed25519 or rfc9421');
	return IS_PAIR ? crypto.createPublicKey({format: 'jwk', key: {
		kty: 'OKP', crv: 'Ed25519', x: key.toString('base64url')}}) : key;
}

const KEY = readKey();

function equal(given, wanted) {
	const one = Buffer.from(given), other = Buffer.from(wanted);
	return one.length === other.length && crypto.timingSafeEqual(one, other);
}

// The header's value; '' without one, or with two: which of them would be signed?
function one(request, name) {
	const values = request.headersDistinct[name] || [];
	return values.length === 1 ? values[0] : '';
}

function isFresh(at) {
	return /^\d{1,12}$/.test(at) && Math.abs(Date.now() / 1000 - at) <= TOLERANCE_S;
}

// Whether the signature, base64, is by the secret or the key pair.
function isByKey(given, message) {
	const signature = Buffer.from(given, 'base64');
	if (IS_PAIR)
		return crypto.verify(null, message, KEY, signature);
	return equal(signature, crypto.createHmac('sha256', KEY).update(message).digest());
}

// v1: over the body, and nothing else; v2: over the time too.
function isSignedBody(request, body) {
	const at = one(request, 'x-webhook-timestamp');
	const mac = crypto.createHmac('sha256', SECRET);
	if (SCHEME === 'v2')
		mac.update(`${at}.`);
	return (SCHEME === 'v1' || isFresh(at)) &&
		equal(one(request, 'x-webhook-signature'), 'sha256=' + mac.update(body).digest('hex'));
}

// Standard Webhooks: over the id and the time too, so that neither can be changed or be old.
function isStandard(request, body) {
	const at = one(request, 'webhook-timestamp');
	const message = Buffer.concat([Buffer.from(`${one(request, 'webhook-id')}.${at}.`), body]);
	const version = SCHEME === 'ed25519' ? 'v1a,' : 'v1,';
	const given = one(request, 'webhook-signature').split(' '); // two in a rotation
	return isFresh(at) && given.some((text) =>
		text.startsWith(version) && isByKey(text.slice(version.length), message));
}

const INPUT = /([a-z][a-z0-9]*)=(\(("[^"]+"(?: "[^"]+")*)\)((?:;[a-z]+=(?:\d+|"[^"\\]*"))*))(?:, *|$)/y;
const SIGNATURE = /([a-z][a-z0-9]*)=:([A-Za-z0-9+/=]+):(?:, *|$)/y;
const COVERED = ['@method', '@target-uri', 'content-digest', 'webhook-id']; // these at least

// The labels of a header; none where anything is not of the form, or a label is there twice.
function members(pattern, text) {
	const found = new Map();
	for (let at = 0; at < text.length; at = pattern.lastIndex) {
		pattern.lastIndex = at;
		const match = pattern.exec(text);
		if (!match || found.has(match[1]))
			return new Map();
		found.set(match[1], match.slice(2));
	}
	return found;
}

// HTTP Message Signatures, RFC 9421: over what Signature-Input lists.
function isMessageSigned(request, body) {
	const digest = crypto.createHash('sha256').update(body).digest('base64');
	if (one(request, 'content-digest') !== `sha-256=:${digest}:`)
		return false;
	const derived = {'@method': request.method,
		'@target-uri': (ORIGIN || `http://${one(request, 'host')}`) + request.url};
	const signatures = members(SIGNATURE, one(request, 'signature'));
	const inputs = members(INPUT, one(request, 'signature-input'));
	return [...inputs].some(([label, [signed, list, settings]]) => {
		const names = list.slice(1, -1).split('" "');
		const values = names.map((name) => derived[name] || one(request, name));
		const created = /;created=(\d+)(?:;|$)/.exec(settings)?.[1];
		const alg = /;alg="([^"]*)"(?:;|$)/.exec(settings)?.[1];
		const base = names.map((name, i) => `"${name}": ${values[i]}\n`).join('') +
			`"@signature-params": ${signed}`;
		return alg === (IS_PAIR ? 'ed25519' : 'hmac-sha256') && isFresh(created) &&
			COVERED.every((name) => names.includes(name)) && !values.includes('') &&
			signatures.has(label) && isByKey(signatures.get(label)[0], Buffer.from(base));
	});
}

function isSigned(request, body) {
	const id = one(request, 'webhook-id');
	if (!id || id !== one(request, 'x-webhook-id'))
		return false;
	if (SCHEME === 'rfc9421')
		return isMessageSigned(request, body);
	return (SCHEME === 'v1' || SCHEME === 'v2' ? isSignedBody : isStandard)(request, body);
}

// What was handled, in memory and bounded: after a restart a duplicate passes. To be safe from
// that, write the id in the same transaction as what the event changes, under a unique key.
const seen = new Set();

function handle(id, event, body) {
	if (seen.has(id))
		return;
	console.log(`${event} ${id} ${body.length}`); // your work: store it, or throw
	seen.add(id);
	if (seen.size > SEEN_MAX)
		seen.delete(seen.values().next().value); // the oldest
}

function answer(request, body) {
	if (!isSigned(request, body))
		return 401;
	try {
		handle(request.headers['x-webhook-id'], request.headers['x-webhook-event'], body);
		return 204; // only now: after anything else it is sent again
	} catch (error) {
		return 500;
	}
}

const server = http.createServer((request, response) => {
	const chunks = [];
	let length = 0;
	request.on('data', (chunk) => {
		length += chunk.length;
		if (length <= BODY_MAX)
			chunks.push(chunk);
		else if (!response.headersSent)
			response.writeHead(413, { Connection: 'close' }).end(() => request.destroy());
	});
	request.on('end', () => {
		if (length <= BODY_MAX)
			response.writeHead(answer(request, Buffer.concat(chunks))).end();
	});
});
server.listen(process.env.PORT || 9000, '127.0.0.1', () =>
	console.log(`listening on http://127.0.0.1:${server.address().port}/`));
