import assert from 'node:assert/strict';
import { cpSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { Load } from '../load.ts';
import type { Procedure } from './procedure.ts';

const lookedAtMs = 4_000;
const jwksSchema = z.object({ keys: z.array(z.looseObject({ kid: z.string() })) });

export const rotateTokenKeys: Procedure = {
  name: 'rotate-token-keys',
  what: 'a second key of tokens, tokens of it, and the end of the first, under load',
  async run({ shop }) {
    const jwks = join(shop.authority, 'jwks.json');
    const next = join(shop.authority, 'token-key-next.pem');
    const handOut = async (): Promise<void> => {
      for (const region of shop.regions) cpSync(jwks, join(shop.folderOf(region), 'jwks.json'));
      await sleep(lookedAtMs);
    };
    const old = shop.token;
    let clientToken = await shop.tokenOf('write');
    const load = new Load(shop, () => clientToken);
    await load.start();
    await shop.must('token', 'keygen', '--key', next, '--jwks', jwks);
    await handOut();
    await load.more(30);
    clientToken = await shop.tokenOf('write', next);
    shop.token = await shop.tokenOf('admin', next);
    load.reconnect();
    await load.more(30);
    shop.say('tokens of the new key are taken beside those of the old');

    const { keys } = jwksSchema.parse(JSON.parse(readFileSync(jwks, 'utf8')));
    const newest = keys.at(-1);
    assert(newest !== undefined, 'there is a newest key');
    writeFileSync(jwks, JSON.stringify({ keys: [newest] }));
    await handOut();
    await load.more(30);
    await load.stop();
    const [region = ''] = shop.regions;
    const refused = await fetch(`${shop.gateway(region)}/v1/status`, {
      headers: { authorization: `Bearer ${old}` },
    });
    assert.equal(refused.status, 401, 'a token of the key that is gone is refused');
    renameSync(next, shop.tokenKey);
    shop.say('the old key is gone, and its tokens with it');
  },
};
