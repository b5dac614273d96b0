/** `sextant doctor`: looks at the machine and the deployment, and says what is wrong and what to do about it. */
import type { Command } from 'commander';
import { supervisorStatus } from '../../local/control-socket.ts';
import { readDeployment } from '../../local/deployment-file.ts';
import { controlSocket } from '../../local/layout/local-layout.ts';
import { isElsewhere, targetOf } from '../ask/admin-client.ts';
import { type AskOptions, withAsk, withExample } from '../ask/options.ts';
import { paint, printJson } from '../ask/output.ts';
import {
  type Check,
  checkBeforeFirst,
  checkDeployment,
  checkMachine,
  checkProcesses,
} from '../doctor/core/diagnosis.ts';
import { deploymentFacts, machineFacts } from '../doctor/gather.ts';

const marks = { ok: ['green', 'ok  '], warn: ['yellow', 'warn'], bad: ['red', 'bad '] } as const;

function line({ subject, level, text, advice }: Check): string {
  const [style, mark] = marks[level];
  const more = advice === null ? '' : `\n      ${paint('dim', advice)}`;
  return `${paint(style, mark)}  ${paint('bold', subject)}: ${text}${more}`;
}

/** What is found, the machine first. Where nothing has been deployed yet the machine alone is looked at. */
async function examine(options: AskOptions): Promise<readonly Check[]> {
  if (!isElsewhere(options) && readDeployment(options.data) === undefined) {
    const machine = await machineFacts(true, options.data);
    return [...checkMachine(machine), ...checkBeforeFirst(machine.dataDir)];
  }
  const target = targetOf(options);
  const isLocal = target.local !== undefined;
  const [machine, deployment, supervisor] = await Promise.all([
    isLocal ? machineFacts(target.local?.nats === null, options.data) : null,
    deploymentFacts(target),
    isLocal ? supervisorStatus(controlSocket(options.data)) : undefined,
  ]);
  return [
    ...(machine === null ? [] : checkMachine(machine)),
    ...(isLocal ? checkProcesses(supervisor?.processes ?? null) : []),
    ...checkDeployment(deployment),
  ];
}

/** Ends with exit code 0 only when nothing is bad. */
async function doctor(options: AskOptions): Promise<void> {
  const checks = await examine(options);
  const ok = checks.every(({ level }) => level !== 'bad');
  if (options.json === true) printJson({ ok, checks });
  else console.log(checks.map(line).join('\n'));
  if (!ok) process.exitCode = 1;
}

export function addDoctorCommand(program: Command): void {
  withExample(
    withAsk(program.command('doctor'))
      .description(
        'checks the machine and the deployment, and says what to do; exit code 0 when nothing is bad',
      )
      .action(doctor),
    'sextant doctor',
    'sextant doctor --url https://db.example.com --json',
  );
}
