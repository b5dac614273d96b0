/**
 * What the standard `OTEL_*` variables ask for, read once. Variables of the OTLP exporter itself (endpoint, headers,
 * timeout, compression, certificates) are left to the SDK, which reads them in the worker thread.
 */

type Environment = Readonly<Record<string, string | undefined>>;

/** Limits of the batch processor in the worker, and so of the memory spans may take there. */
export interface BatchSettings {
  /** Longest wait before a batch that is not full is sent. */
  readonly scheduleDelayMs: number;
  /** Spans in one export. */
  readonly exportBatchMax: number;
  /** Spans held in the worker, in flight ones included. */
  readonly queueMax: number;
  readonly exportTimeoutMs: number;
}

/** Either tracing is off, with nothing to pay for it, or this is how. `warnings` are to be logged once. */
export type TracingSettings =
  | { readonly kind: 'off'; readonly warnings: readonly string[] }
  | { readonly kind: 'on'; readonly batch: BatchSettings; readonly warnings: readonly string[] };

// The 400 ms here and in the hand-over to the worker keep a live demonstration under half a second.
const defaultBatch: BatchSettings = {
  scheduleDelayMs: 300,
  // A write is eight spans of some 150 bytes: at fifteen thousand writes a second these are fifteen requests of 1.2 MB.
  exportBatchMax: 8_192,
  queueMax: 65_536,
  exportTimeoutMs: 30_000,
};

/** Off unless an OTLP endpoint is named: tracing without a collector would cost CPU and log noise for nothing. */
export function tracingSettings(env: Environment): TracingSettings {
  const endpointVariable = set(env, 'OTEL_EXPORTER_OTLP_TRACES_ENDPOINT')
    ? 'OTEL_EXPORTER_OTLP_TRACES_ENDPOINT'
    : 'OTEL_EXPORTER_OTLP_ENDPOINT';
  if (!set(env, endpointVariable)) return { kind: 'off', warnings: [] };
  if (env.OTEL_SDK_DISABLED?.trim().toLowerCase() === 'true') return { kind: 'off', warnings: [] };
  const exporter = env.OTEL_TRACES_EXPORTER?.trim() ?? '';
  if (exporter === 'none') return { kind: 'off', warnings: [] };

  const endpoint = env[endpointVariable]?.trim() ?? '';
  if (!URL.canParse(endpoint) || !/^https?:$/.test(new URL(endpoint).protocol)) {
    // The value is not repeated: it may hold a password.
    const warning = `${endpointVariable} is not an http or https URL; traces are off`;
    return { kind: 'off', warnings: [warning] };
  }
  const warnings: string[] = [];
  if (exporter !== '' && exporter !== 'otlp')
    warnings.push('OTEL_TRACES_EXPORTER: only otlp and none are supported');
  const protocol = env.OTEL_EXPORTER_OTLP_TRACES_PROTOCOL ?? env.OTEL_EXPORTER_OTLP_PROTOCOL ?? '';
  if (protocol !== '' && !protocol.startsWith('http/')) {
    warnings.push(
      'OTEL_EXPORTER_OTLP_PROTOCOL is not followed: spans of requests and commits leave as http/protobuf, all others as http/json',
    );
  }
  const positive = (name: string, fallback: number, smallest = 1): number => {
    if (!set(env, name)) return fallback;
    const value = Number(env[name]);
    if (Number.isInteger(value) && value >= smallest && value <= 0x7fff_ffff) return value;
    warnings.push(`${name} must be a whole number from ${smallest}; using ${fallback}`);
    return fallback;
  };
  const queueMax = positive('OTEL_BSP_MAX_QUEUE_SIZE', defaultBatch.queueMax);
  const batch: BatchSettings = {
    scheduleDelayMs: positive('OTEL_BSP_SCHEDULE_DELAY', defaultBatch.scheduleDelayMs, 0),
    exportBatchMax: Math.min(
      queueMax,
      positive('OTEL_BSP_MAX_EXPORT_BATCH_SIZE', defaultBatch.exportBatchMax),
    ),
    queueMax,
    exportTimeoutMs: positive('OTEL_BSP_EXPORT_TIMEOUT', defaultBatch.exportTimeoutMs),
  };
  return { kind: 'on', batch, warnings };
}

/**
 * `OTEL_RESOURCE_ATTRIBUTES` for the worker: what the user set, over our defaults, under our identity. Entries that do
 * not parse are left out, since the SDK would otherwise discard all of them, ours included.
 */
export function mergeResourceAttributes(
  userValue: string | undefined,
  defaults: Readonly<Record<string, string>>,
  identity: Readonly<Record<string, string>>,
): string {
  const merged = new Map(Object.entries(defaults));
  for (const entry of (userValue ?? '').split(',')) {
    const [key, value, ...rest] = entry.split('=');
    if (key === undefined || value === undefined || rest.length > 0) continue;
    try {
      const name = decodeURIComponent(key.trim());
      if (name !== '') merged.set(name, decodeURIComponent(value.trim()));
    } catch {
      // Not percent-encoding: skipped like any other entry that does not parse.
    }
  }
  for (const [key, value] of Object.entries(identity)) merged.set(key, value);
  // 255 is the SDK's own limit for keys and values; longer ones would again cost all the others. A cut may leave half of a
  // character, which has no percent-encoding.
  return [...merged]
    .filter(([key]) => key.length <= 255)
    .map(
      ([key, value]) =>
        `${encodeURIComponent(key)}=${encodeURIComponent(value.slice(0, 255).toWellFormed())}`,
    )
    .join(',');
}

const set = (env: Environment, name: string): boolean => (env[name]?.trim() ?? '') !== '';
