import { setTimeout as sleep } from 'node:timers/promises';
import { Load } from '../load.ts';
import type { Procedure } from './procedure.ts';

/** Files are looked at every two seconds, and taken once they are the same at two looks. */
const lookedAtMs = 5_000;

export const rotateCertificates: Procedure = {
  name: 'rotate-certificates',
  what: 'all certificates are renewed, and the authority is replaced in its three steps, under load',
  async run({ shop }) {
    const [region = ''] = shop.regions;
    const load = new Load(shop);
    await load.start();
    const handOut = async (): Promise<void> => {
      shop.copyCertificates();
      await shop.reloadNats();
      // Clients trust what `ca.pem` says now, and connect anew: what stands would go on with the old.
      shop.trust();
      await sleep(lookedAtMs);
      load.reconnect();
      await load.more(50);
    };
    await shop.must('certs', 'renew', shop.authority, '--within', '365d');
    await handOut();
    shop.say('all certificates renewed');
    await shop.must('certs', 'authority', shop.authority, 'add');
    await handOut();
    await shop.must('certs', 'authority', shop.authority, 'use');
    await shop.must('certs', 'renew', shop.authority);
    await handOut();
    await shop.must('certs', 'authority', shop.authority, 'drop');
    await handOut();
    shop.say('the authority replaced');
    // What connects from here on knows the new authority alone.
    await shop.restartUnder(load, `${region}/n1`, `${region}/n2`);
    await shop.restartUnder(load, `${region}/agent`);
    await shop.restartUnder(load, `${region}/g1`);
    await shop.well();
    await load.more(50);
    await load.stop();
  },
};
