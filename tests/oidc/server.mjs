// server.mjs FOLDER: npm's oidc-provider over HTTPS on loopback. FOLDER is where ops/bootstrap installed it. Reads
// {key, certificate, clients} (paths of PEM files, client metadata) from its standard input, says {"port": N} when
// it listens, and ends when its input does. People sign in on its own pages, with any name.
import fs from 'node:fs';
import https from 'node:https';
import path from 'node:path';
import {pathToFileURL} from 'node:url';

const folder = process.argv[2];
const entry = path.join(folder, 'node_modules/oidc-provider/lib/index.js');
const {default: Provider} = await import(pathToFileURL(entry));

function firstLine(stream) {
    return new Promise((resolve) => {
        let text = '';
        stream.on('data', (piece) => {
            text += piece;
            if (text.includes('\n'))
                resolve(text.slice(0, text.indexOf('\n')));
        });
        stream.on('end', () => process.exit(0));
    });
}

const {key, certificate, clients} = JSON.parse(await firstLine(process.stdin.setEncoding('utf8')));
const server = https.createServer({key: fs.readFileSync(key), cert: fs.readFileSync(certificate)});
await new Promise((listening) => server.listen(0, '127.0.0.1', listening));
const {port} = server.address();

const provider = new Provider(`https://localhost:${port}`, {
    clients,
    scopes: ['openid', 'offline_access', 'api:read'],
    features: {
        clientCredentials: {enabled: true},
        introspection: {enabled: true},
        revocation: {enabled: true},
        deviceFlow: {enabled: true},
        devInteractions: {enabled: true},
    },
    // Always another one, and a used one that is seen again ends the grant.
    rotateRefreshToken: true,
    issueRefreshToken: async () => true,
    pkce: {methods: ['S256'], required: () => true},
    ttl: {AccessToken: 600, ClientCredentials: 600, RefreshToken: 3600, Session: 3600, Interaction: 600, Grant: 3600, DeviceCode: 600},
    cookies: {keys: ['of a test']},
});
server.on('request', provider.callback());
console.log(JSON.stringify({port}));
