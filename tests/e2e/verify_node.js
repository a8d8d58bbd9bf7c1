// A receiver as the published Node.js sample has it: Express parses the body, and the sample
// signs JSON.stringify(req.body) again. `sample` tells whether that verifies, `raw` whether the
// bytes that came do. One line of JSON on standard output for each request.
//
// Usage: node verify_node.js SECRET
'use strict';

const crypto = require('crypto');
const http = require('http');

const secret = process.argv[2];

function signatureOf(text) {
	return 'sha256=' + crypto.createHmac('sha256', secret).update(text).digest('hex');
}

function verdict(request, body) {
	const signature = request.headers['x-webhook-signature'];
	return {
		id: request.headers['x-webhook-id'],
		sample: signature === signatureOf(JSON.stringify(JSON.parse(body.toString('utf8')))),
		raw: signature === signatureOf(body),
		body: body.toString('utf8'),
	};
}

const server = http.createServer((request, response) => {
	const chunks = [];
	request.on('data', (chunk) => chunks.push(chunk));
	request.on('end', () => {
		console.log(JSON.stringify(verdict(request, Buffer.concat(chunks))));
		response.end();
	});
});

server.listen(0, '127.0.0.1', () => {
	console.log(`http://127.0.0.1:${server.address().port}/`);
});
