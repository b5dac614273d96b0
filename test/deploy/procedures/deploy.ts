import type { Procedure } from './procedure.ts';

/** Some thirty processes at once, on a machine that may have others to run. */
const startMs = 420_000;

export const deploy: Procedure = {
  name: 'deploy',
  what: 'init, config check, a token, and the units of three machines; always done first',
  async run({ shop }) {
    await shop.init();
    shop.say('folders written and checked, a token made');
    for (const name of shop.place.on.keys()) shop.startRegion(name);
    await shop.settled(startMs);
    for (const region of shop.regions) await shop.sql(region, 'SELECT 1');
    await shop.must('doctor');
    shop.say(`${shop.regions.length} regions serve`);
  },
};
