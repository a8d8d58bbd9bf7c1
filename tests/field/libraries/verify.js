// Says whether a library of npm takes the delivery that comes as JSON on standard input.
// usage: node verify.js LIBRARY
'use strict';
const { Webhook } = require(process.argv[2]);

const { secret, raw, body, headers } = JSON.parse(require('fs').readFileSync(0, 'utf8'));
let answer = 'good';
try {
	new Webhook(raw ? Buffer.from(secret) : secret, raw ? { format: 'raw' } : {}).verify(body, headers);
} catch (error) {
	answer = `bad: ${error.message}`;
}
console.log(answer);
