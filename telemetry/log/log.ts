/**
 * Structured logs: one JSON object a line on standard output, with the service, region and component on every line.
 * Log an error once, where it is handled; write messages as sentences without values and put values into fields.
 */
import {
  type DestinationStream,
  type Logger as PinoLogger,
  pino,
  destination as pinoDestination,
  stdSerializers,
  stdTimeFunctions,
} from 'pino';
import type { TraceContext } from '../trace/propagation.ts';

type Level = 'fatal' | 'error' | 'warn' | 'info' | 'debug' | 'trace';

/** What the project uses of pino: the levels, `level`, and children whose bindings are redacted like all else. */
export interface Logger extends Pick<PinoLogger, Level | 'level' | 'isLevelEnabled'> {
  child(bindings: Readonly<Record<string, unknown>>): Logger;
}

export interface LoggerOptions {
  /** As in traces: `sextant-<region>`. */
  readonly service: string;
  readonly region: string;
  /** Part of the process that speaks, such as `gateway`, `storage` or `telemetry`. */
  readonly component: string;
  /** `fatal`, `error`, `warn`, `info`, `debug`, `trace` or `silent`. Default: `SEXTANT_LOG_LEVEL`, else `info`. */
  readonly level?: string;
  /** Where lines go. Default: standard output, written synchronously, so that a crash loses none. */
  readonly destination?: DestinationStream;
}

const levels: ReadonlySet<string> = new Set(['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent']);
const redacted = '[redacted]';
const secretKey =
  /secret|token|authorization|password|passwd|jwt|api[-_]?key|cookie|credential|private[-_]?key/i;
/** Deeper than any object worth logging; what lies below is cut off rather than searched. */
const depthMax = 8;
// Secrets that travel inside text: bearer credentials, JWTs and the user part of a URL.
const secretText = /(\bbearer\s+)[\w.~+/=-]+|\beyJ[\w-]+\.[\w-]+\.[\w-]*|(:\/\/)[^\s/?#@"\\]+@/gi;

/**
 * A logger that never writes a secret (T5): fields whose name speaks of one are redacted at any depth, in the message
 * object, in child bindings and in errors; bearer credentials, JWTs and URL passwords are redacted wherever they stand.
 */
export function createLogger(options: LoggerOptions): Logger {
  const wanted = options.level ?? process.env.SEXTANT_LOG_LEVEL ?? '';
  const known = levels.has(wanted);
  const logger = pino(
    {
      level: known ? wanted : 'info',
      base: redactFields({
        service: options.service,
        region: options.region,
        component: options.component,
        pid: process.pid,
      }),
      timestamp: stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }), log: redactFields, bindings: redactFields },
      serializers: { err: (error: unknown) => redactValue(serializeError(error), 0) },
      hooks: { streamWrite: redactText },
    },
    options.destination ?? pinoDestination({ fd: 1, sync: true }),
  );
  if (!known && wanted !== '')
    logger.warn({ level_wanted: wanted }, 'SEXTANT_LOG_LEVEL is unknown, using info');
  return redactChildren(logger, logger.child);
}

/** Fields that tie a line to its trace. Nothing for a write that is not traced. */
export function traceFields(context: TraceContext | null): Readonly<Record<string, string>> {
  return context === null ? {} : { trace_id: context.traceId, span_id: context.spanId };
}

/** A child logger whose every line carries `trace_id` and `span_id`. */
export function withTrace(logger: Logger, context: TraceContext | null): Logger {
  return context === null ? logger : logger.child(traceFields(context));
}

/** `text` without bearer credentials, JWTs and URL passwords. */
export function redactText(text: string): string {
  return text.replace(secretText, (_match, bearer?: string, scheme?: string) => {
    if (bearer !== undefined) return `${bearer}${redacted}`;
    return scheme === undefined ? redacted : `${scheme}${redacted}@`;
  });
}

// pino applies its formatters to what one call logs, but serialises the bindings of a child without them. `makeChild`
// is pino's own method: a child inherits the replaced one from its parent, and would make a sibling with it.
function redactChildren<Levels extends string>(
  logger: PinoLogger<Levels>,
  makeChild: PinoLogger['child'],
): Logger {
  return Object.assign(logger, {
    child: (bindings: Readonly<Record<string, unknown>>) =>
      redactChildren(makeChild.call(logger, redactFields(bindings)), makeChild),
  });
}

function serializeError(error: unknown): unknown {
  return error instanceof Error ? { ...stdSerializers.err(error) } : error;
}

function redactFields(fields: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const result: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(fields)) {
    if (secretKey.test(key)) result[key] = redacted;
    // `err` still has its serializer before it, and pino takes the message of a bare error from it.
    else result[key] = key === 'err' && value instanceof Error ? value : redactValue(value, 1);
  }
  return result;
}

function redactValue(value: unknown, depth: number): unknown {
  if (typeof value === 'bigint') return value.toString();
  if (typeof value !== 'object' || value === null || value instanceof Date) return value;
  if (value instanceof Error) return redactValue(serializeError(value), depth + 1);
  if (depth >= depthMax) return '[deep]';
  if (Array.isArray(value)) return value.map((item) => redactValue(item, depth + 1));
  if (ArrayBuffer.isView(value)) return `[${value.byteLength} bytes]`;
  const result: Record<string, unknown> = {};
  for (const [key, item] of Object.entries(value)) {
    result[key] = secretKey.test(key) ? redacted : redactValue(item, depth + 1);
  }
  return result;
}
