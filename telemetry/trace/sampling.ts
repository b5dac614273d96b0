/**
 * The head decision: keep or drop a whole trace before its first span. It rides in the flags of the trace context, in
 * headers and in commit records, so all regions keep or drop the same writes.
 */
import { newSpanId, newTraceId, type TraceContext } from './propagation.ts';

/** Decides for traces that begin or enter here. */
export interface Sampler {
  /** As `OTEL_TRACES_SAMPLER` names it. */
  readonly name: SamplerName;
  /** Context of the first span here: a child of `parent` when a client sent one, else the root of a new trace. */
  start(parent: TraceContext | null): TraceContext;
}

const samplerNames = [
  'always_on',
  'always_off',
  'traceidratio',
  'parentbased_always_on',
  'parentbased_always_off',
  'parentbased_traceidratio',
] as const;
export type SamplerName = (typeof samplerNames)[number];

/** A setting that could not be understood is a value, so that the caller chooses between refusing and the default. */
export type SamplerResult =
  | { readonly kind: 'sampler'; readonly sampler: Sampler }
  | { readonly kind: 'invalid'; readonly variable: string; readonly message: string };

type Environment = Readonly<Record<string, string | undefined>>;

/** Used when nothing is set: every write, unless the client that calls has decided otherwise. */
export const defaultSampler: Sampler = createSampler('parentbased_always_on', 1);

/** Reads `OTEL_TRACES_SAMPLER` and `OTEL_TRACES_SAMPLER_ARG`. Unset or empty means `parentbased_always_on`. */
export function samplerFromEnv(env: Environment): SamplerResult {
  const text = env.OTEL_TRACES_SAMPLER?.trim() ?? '';
  if (text === '') return { kind: 'sampler', sampler: defaultSampler };
  const name = samplerNames.find((known) => known === text);
  if (name === undefined) {
    const message = `OTEL_TRACES_SAMPLER is ${JSON.stringify(text)}; it must be one of ${samplerNames.join(', ')}`;
    return { kind: 'invalid', variable: 'OTEL_TRACES_SAMPLER', message };
  }
  if (!name.endsWith('traceidratio')) return { kind: 'sampler', sampler: createSampler(name, 1) };
  const argument = env.OTEL_TRACES_SAMPLER_ARG?.trim() ?? '';
  const ratio = argument === '' ? 1 : Number(argument);
  if (!(ratio >= 0 && ratio <= 1)) {
    const message = `OTEL_TRACES_SAMPLER_ARG is ${JSON.stringify(argument)}; ${name} needs a number from 0 to 1`;
    return { kind: 'invalid', variable: 'OTEL_TRACES_SAMPLER_ARG', message };
  }
  return { kind: 'sampler', sampler: createSampler(name, ratio) };
}

/** @param ratio share of traces kept, 0 to 1; only the two `traceidratio` samplers look at it. */
export function createSampler(name: SamplerName, ratio: number): Sampler {
  const decide = decider(name, ratio);
  const obeysParent = name.startsWith('parentbased_');
  return {
    name,
    start(parent) {
      const traceId = parent?.traceId ?? newTraceId();
      const sampled = parent !== null && obeysParent ? parent.sampled : decide(traceId);
      return { traceId, spanId: newSpanId(), sampled };
    },
  };
}

function decider(name: SamplerName, ratio: number): (traceId: string) => boolean {
  switch (name) {
    case 'always_on':
    case 'parentbased_always_on':
      return () => true;
    case 'always_off':
    case 'parentbased_always_off':
      return () => false;
    case 'traceidratio':
    case 'parentbased_traceidratio': {
      // The low bits of the trace id are the ones W3C promises to be random. 13 digits are 52 bits: exact in a double.
      const threshold = (1 - ratio) * 2 ** 52;
      return (traceId) => Number.parseInt(traceId.slice(-13), 16) >= threshold;
    }
  }
}
