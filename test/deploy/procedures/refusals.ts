import assert from 'node:assert/strict';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { ask, askForLink, askNats, pemIn, type Reply, sayOverTls, sayPlainly } from '../probe.ts';
import type { Shop } from '../shop.ts';
import type { Procedure } from './procedure.ts';

const select = JSON.stringify({
  requests: [{ type: 'execute', stmt: { sql: 'SELECT count(*) FROM untouched' } }],
});
const insert = JSON.stringify({
  requests: [{ type: 'execute', stmt: { sql: 'INSERT INTO untouched VALUES (99)' } }],
});
const bearer = (token: string) => ({ authorization: `Bearer ${token}` });

/** What a gateway or an agent knows is in the status of all of them within this time. */
const toldMs = 2_000;

/** Everything that a refused caller must not have changed. */
async function fingerprint(shop: Shop): Promise<object> {
  const [region = ''] = shop.regions;
  const { epoch, primary, state, policy, regions } = await shop.settled();
  return {
    ...{ epoch, primary, state, policy },
    vdl: regions.map(({ vdl }) => vdl),
    rows: await shop.sql(region, 'SELECT id FROM untouched'),
    running: shop.place.machines.running.map((id) => `${id} ${shop.place.machines.pid(id)}`).toSorted(),
  };
}

export const refusals: Procedure = {
  name: 'refusals',
  what: 'plain text, foreign certificates, wrong tokens, wrong roles and foreign origins, at every port',
  async run({ shop }) {
    const [region = '', other = ''] = shop.regions;
    await shop.sql(region, 'CREATE TABLE untouched (id INTEGER PRIMARY KEY)');
    await shop.sql(region, 'INSERT INTO untouched VALUES (1)');
    const at = (name: string): string => shop.addressOf(`${region}/${name}`);
    const pipeline = `https://${at('g1')}/v2/pipeline`;
    // All of them are tried, and what was not refused as it should be is listed.
    const wrong: string[] = [];
    const heard = (what: string, text: string, words: RegExp): void => {
      if (!words.test(text)) wrong.push(`${what}: ${text.slice(0, 300)}`);
    };
    const said = (what: string, { status, body }: Reply, wanted: number, words: RegExp): void => {
      heard(what, `${status} ${body}`, words);
      if (status !== wanted) wrong.push(`${what}: ${status} instead of ${wanted}`);
    };
    // Every region has told of the row by then: what is told later would look like something that a caller has changed.
    await sleep(toldMs);
    const before = await fingerprint(shop);

    for (const name of ['n1', 'agent', 'g1', 'g2'])
      heard(
        `plain text at ${name}`,
        await sayPlainly(at(name), 'GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n'),
        /400 Bad Request[\s\S]*"message":"[^"]{20,}/,
      );
    const connectPlainly = 'CONNECT {"verbose":false}\r\nPING\r\n';
    // A NATS server says to clients first of all that it takes TLS alone; of servers it hears nothing but TLS.
    heard(
      'plain text at nats',
      await sayPlainly(at('nats'), connectPlainly),
      /"tls_required":true(?![\s\S]*PONG)/,
    );
    heard('plain text at routes', await sayPlainly(at('routes'), connectPlainly), /^$|^\([^)]*\)$/);
    shop.say('plain text is refused at every port');

    const foreign = join(shop.place.dir, 'foreign');
    await shop.must('certs', 'init', foreign, '--cluster', shop.place.cluster);
    for (const [role, name] of [
      ['gateway', 'g1'],
      ['operator', 'admin'],
    ] as const)
      await shop.must(
        ...['certs', 'issue', foreign, '--region', region, '--role', role, '--name', name],
        ...['--host', shop.machineOf(`${region}/g1`).address],
      );
    const stranger = pemIn(join(foreign, region, 'gateway', 'g1'));
    const { clusterSecret: secret } = shop;
    const { cluster } = shop.place;
    const issued = /another authority/;
    said('a link', await askForLink(at('n1'), { cluster, secret, pem: stranger }), 403, issued);
    said(
      'the agent',
      await ask(`https://${at('agent')}/v1/status`, { pem: stranger, headers: bearer(secret) }),
      403,
      issued,
    );
    said('no certificate', await askForLink(at('n1'), { cluster, secret }), 403, /has shown no certificate/);
    heard(
      'a foreign certificate at nats',
      await askNats(at('nats'), stranger, connectPlainly),
      /alert|certificate/,
    );
    heard(
      'a foreign certificate at routes',
      await sayOverTls(at('routes'), stranger, connectPlainly),
      /alert|certificate/,
    );
    shop.say('foreign certificates are refused at every port that asks for one');

    const issuedTo = (of: string, role: string, name: string) => pemIn(join(shop.authority, of, role, name));
    said(
      'a gateway of another region',
      await askForLink(at('n1'), { cluster, secret, pem: issuedTo(other, 'gateway', 'g1') }),
      403,
      /takes links from .* of its own region/,
    );
    said(
      'a NATS server',
      await askForLink(at('n1'), { cluster, secret, pem: issuedTo(region, 'nats', 'nats') }),
      403,
      /certificate is that of NATS server/,
    );
    said(
      'a node at the agent',
      await ask(`https://${at('agent')}/v1/status`, {
        pem: issuedTo(region, 'storage', 'n1'),
        headers: bearer(secret),
      }),
      403,
      /takes requests from agents, gateways and operators/,
    );
    said(
      'a wrong secret',
      await askForLink(at('n1'), { cluster, secret: 'x'.repeat(43), pem: issuedTo(region, 'gateway', 'g1') }),
      401,
      /cluster secret is wrong/,
    );
    said(
      'a token in place of the secret',
      await ask(`https://${at('agent')}/v1/status`, {
        pem: pemIn(shop.identity),
        headers: bearer(shop.token),
      }),
      401,
      /cluster secret/,
    );
    said(
      'another cluster',
      await askForLink(at('n1'), { cluster: 'other', secret, pem: issuedTo(region, 'gateway', 'g1') }),
      409,
      /belongs to cluster/,
    );
    heard(
      'a node at NATS',
      await askNats(at('nats'), issuedTo(region, 'storage', 'n1'), connectPlainly),
      /Authorization Violation/,
    );
    const fromGateway = issuedTo(region, 'gateway', 'g1');
    const forged = `${connectPlainly}PUB sextant.${cluster}.ship.${other} 2\r\nhi\r\nPING\r\n`;
    heard(
      'a gateway that ships',
      await askNats(at('nats'), fromGateway, forged),
      /Permissions Violation for Publish/,
    );
    shop.say('wrong roles are refused');

    const read = await shop.tokenOf('read');
    const write = await shop.tokenOf('write');
    const short = await shop.tokenOf('write', shop.tokenKey, '1s');
    const wrongKey = join(shop.place.dir, 'wrong-key.pem');
    await shop.must('token', 'keygen', '--key', wrongKey, '--jwks', join(shop.place.dir, 'wrong-jwks.json'));
    const foreignToken = await shop.tokenOf('admin', wrongKey);
    // Beyond the tolerance for clocks that differ.
    await sleep(7_000);
    const post = (token: string | null, body = select) =>
      ask(pipeline, { body, headers: token === null ? {} : bearer(token) });
    said('no token', await post(null), 401, /"message":"[^"]{10,}/);
    said('an expired token', await post(short), 401, /expired/);
    said('a token of another key', await post(foreignToken), 401, /"message":"[^"]{10,}/);
    said('the cluster secret as a token', await post(secret), 401, /"message":"[^"]{10,}/);
    said('half a token', await post(write.slice(0, -20)), 401, /"message":"[^"]{10,}/);
    const reading = await post(read, insert);
    heard('a token that reads, and writes', reading.body, /needs a token with the scope write/);
    for (const token of [read, write]) {
      const move = await ask(`https://${at('g1')}/v1/switchover`, {
        headers: bearer(token),
        body: JSON.stringify({ target: other }),
      });
      said('an admin act', move, 403, /admin/);
    }
    shop.say('expired, wrong and missing tokens, and those of a smaller scope, are refused');

    const origin = { origin: 'https://evil.example' };
    said(
      'a foreign page',
      await ask(pipeline, { body: insert, headers: { ...bearer(write), ...origin } }),
      403,
      /pages of another origin/,
    );
    said(
      'a foreign page, by WebSocket',
      await ask(`https://${at('g1')}/`, {
        headers: {
          ...origin,
          connection: 'Upgrade',
          upgrade: 'websocket',
          'sec-websocket-version': '13',
          'sec-websocket-key': 'AAAAAAAAAAAAAAAAAAAAAA==',
          'sec-websocket-protocol': 'hrana3',
        },
      }),
      403,
      /pages of another origin/,
    );
    said(
      'a foreign page, an admin act',
      await ask(`https://${at('g1')}/v1/switchover`, {
        body: JSON.stringify({ target: other }),
        headers: { ...bearer(shop.token), ...origin },
      }),
      403,
      /pages of another origin/,
    );
    shop.say('foreign pages are refused');

    assert.deepEqual(wrong, [], 'everything is refused as it should be');
    assert.deepEqual(await fingerprint(shop), before, 'nothing has changed');
    shop.say('and nothing has changed');
  },
};
