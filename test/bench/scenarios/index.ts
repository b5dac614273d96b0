/** Every scenario by its name, in the order they run. */
import type { ScenarioName } from '../options.ts';
import { bulk } from './bulk.ts';
import { encryption } from './encryption.ts';
import { forward } from './forward.ts';
import { growth } from './growth.ts';
import { lag } from './lag.ts';
import { moves } from './moves.ts';
import { oltp } from './oltp.ts';
import { postgres } from './postgres.ts';
import { readers } from './readers.ts';
import type { Scenario } from './scenario.ts';
import { soak } from './soak.ts';
import { storage } from './storage.ts';
import { tracing } from './tracing.ts';

export const scenarios: Readonly<Record<ScenarioName, Scenario>> = {
  oltp,
  storage,
  tracing,
  encryption,
  lag,
  forward,
  growth,
  bulk,
  readers,
  postgres,
  moves,
  soak,
};
