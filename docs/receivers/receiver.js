// A receiver of waybill's deliveries: Node.js 18 or later, no packages.
// SECRET=… [PORT=9000] node receiver.js
'use strict';
const crypto = require('crypto');
const http = require('http');

const secret = process.env.SECRET;
// Of a webhook with signature ed25519, SECRET is its public key: whpk_…
const publicKey = secret.startsWith('whpk_') && crypto.createPublicKey({format: 'jwk', key: {
	kty: 'OKP', crv: 'Ed25519', x: Buffer.from(secret.slice(5), 'base64').toString('base64url')}});
const BODY_MAX = 17 << 20; // over waybill's longest event in canonical form
const TOLERANCE_S = 300;
const SEEN_MAX = 100000;

function equal(given, wanted) {
	const one = Buffer.from(given), other = Buffer.from(wanted);
	return one.length === other.length && crypto.timingSafeEqual(one, other);
}

// Standard Webhooks: over the id and the time too, so that neither can be changed or be old.
function isSigned(headers, body) {
	const id = headers['webhook-id'], at = headers['webhook-timestamp'];
	if (!id || id !== headers['x-webhook-id'] || !/^\d{1,12}$/.test(at))
		return false;
	if (Math.abs(Date.now() / 1000 - at) > TOLERANCE_S)
		return false;
	const given = (headers['webhook-signature'] || '').split(' '); // two during a rotation
	if (publicKey)
		return given.some((one) => one.startsWith('v1a,') && crypto.verify(null,
			Buffer.concat([Buffer.from(`${id}.${at}.`), body]), publicKey, Buffer.from(one.slice(4), 'base64')));
	const key = secret.startsWith('whsec_') ? Buffer.from(secret.slice(6), 'base64') : secret;
	const mac = crypto.createHmac('sha256', key).update(`${id}.${at}.`).update(body);
	const wanted = 'v1,' + mac.digest('base64');
	return given.some((one) => equal(one, wanted));
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
	if (!isSigned(request.headers, body))
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
