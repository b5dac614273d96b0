/** Finds the two programs that `--jaeger` runs beside a local deployment. Neither is installed by Sextant. */
import { delimiter, join } from 'node:path';
import { type Machine, thisMachine } from '../../nats/nats-server.ts';

/** Paths of working programs. */
export type JaegerPrograms = { readonly jaeger: string; readonly prometheus: string };
export type JaegerProgramsResult = JaegerPrograms | { readonly error: string };

type Wanted = {
  readonly name: keyof JaegerPrograms;
  readonly variable: string;
  readonly versionArguments: readonly string[];
  /** True of what the right program says of its version. */
  readonly accepts: (output: string) => boolean;
  readonly title: string;
};

const versionTimeoutMs = 10_000;
const wanted: readonly Wanted[] = [
  {
    name: 'jaeger',
    variable: 'JAEGER',
    versionArguments: ['version'],
    // Jaeger 1 takes other configuration files. A binary that somebody built may say `dev`, or nothing.
    accepts: (output) => {
      const said = /git-?version["=:\s]+v?(\d*)/i.exec(output)?.[1];
      return said !== undefined && (said === '' || Number(said) >= 2);
    },
    title: 'Jaeger 2 (`jaeger`)',
  },
  {
    name: 'prometheus',
    variable: 'PROMETHEUS',
    versionArguments: ['--version'],
    accepts: (output) => output.includes('prometheus, version'),
    title: 'Prometheus (`prometheus`)',
  },
];

const threeWays =
  'There are three ways: put both on the PATH (Jaeger 2 from https://www.jaegertracing.io/download/, Prometheus from https://prometheus.io/download/ ' +
  "or your system's package `prometheus`), name the binaries in $JAEGER and $PROMETHEUS, or leave --jaeger out and set $OTEL_EXPORTER_OTLP_ENDPOINT " +
  'to a collector that runs already (telemetry/jaeger/README.md has its configuration).';

async function works(
  machine: Machine,
  path: string,
  { versionArguments, accepts }: Wanted,
): Promise<boolean> {
  if (!machine.isExecutable(path)) return false;
  const { code, output } = await machine.run(path, versionArguments, versionTimeoutMs);
  return code === 0 && accepts(output);
}

/** Path of the program, or why there is none, in words. */
async function find(
  machine: Machine,
  program: Wanted,
): Promise<{ readonly path: string } | { readonly problem: string }> {
  const named = machine.environment[program.variable];
  if (named !== undefined && named !== '') {
    if (await works(machine, named, program)) return { path: named };
    return { problem: `$${program.variable} is ${named}, which is not a working ${program.title}` };
  }
  for (const directory of (machine.environment.PATH ?? '').split(delimiter)) {
    const path = join(directory, program.name);
    if (directory !== '' && (await works(machine, path, program))) return { path };
  }
  return { problem: `${program.title} is not on the PATH` };
}

/** What would send the spans of the deployment somewhere else. */
const endpointVariables = ['OTEL_EXPORTER_OTLP_ENDPOINT', 'OTEL_EXPORTER_OTLP_TRACES_ENDPOINT'];

/** Finds both: `$JAEGER` and `$PROMETHEUS`, then the PATH. A variable that names no working program is an error. */
export async function findJaegerPrograms(machine: Machine = thisMachine): Promise<JaegerProgramsResult> {
  const elsewhere = endpointVariables.find((name) => (machine.environment[name] ?? '') !== '');
  if (elsewhere !== undefined)
    return { error: `--jaeger and $${elsewhere} both say where spans go: leave one of them out` };
  const [jaeger, prometheus] = await Promise.all(wanted.map((program) => find(machine, program)));
  if (jaeger !== undefined && prometheus !== undefined && 'path' in jaeger && 'path' in prometheus)
    return { jaeger: jaeger.path, prometheus: prometheus.path };
  const problems = [jaeger, prometheus].flatMap((found) =>
    found !== undefined && 'problem' in found ? [found.problem] : [],
  );
  return { error: `--jaeger needs Jaeger and Prometheus: ${problems.join('; ')}. ${threeWays}` };
}
