/** The production logger of a simulated process. Its lines stand in the trace, without what differs between machines. */
import { createLogger, type Logger } from '../../../telemetry/index.ts';

/** Fields that a line has by itself, or that name places in the source. */
const left: ReadonlySet<string> = new Set([
  'level',
  'time',
  'pid',
  'service',
  'region',
  'component',
  'msg',
  'err',
]);

/** Of what is told by the witness instead. */
export const silentLog: Pick<Logger, 'info' | 'warn'> = { info: () => undefined, warn: () => undefined };

export function logTwin(region: string, component: string, note: (line: string) => void): Logger {
  return createLogger({
    service: 'simulation',
    region,
    component,
    level: 'info',
    destination: { write: (line) => note(described(JSON.parse(line))) },
  });
}

function described(line: Readonly<Record<string, unknown>>): string {
  const facts = Object.entries(line).filter(([name]) => !left.has(name));
  return `${line.msg} ${JSON.stringify(Object.fromEntries(facts))}`;
}
