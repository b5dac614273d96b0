import { describe, expect, it } from 'vitest';
import { createLogger, traceFields, withTrace } from '../../telemetry/index.ts';

function capture(level = 'trace') {
  const lines: string[] = [];
  const destination = { write: (line: string) => void lines.push(line) };
  const log = createLogger({
    service: 'sextant-us-east-1',
    region: 'us-east-1',
    component: 'test',
    level,
    destination,
  });
  return { log, lines, last: (): Record<string, unknown> => JSON.parse(lines.at(-1) ?? '{}') };
}
const jwt = 'eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiJhbGljZSJ9.c2lnbmF0dXJlLXZhbHVl';
const context = { traceId: '0af7651916cd43dd8448eb211c80319c', spanId: 'b7ad6b7169203331', sampled: true };

describe('logs', () => {
  it('are one JSON object a line with service, region, component and level', () => {
    const { log, lines, last } = capture();
    log.info({ lsn: 12n, epoch: 3 }, 'volume recovered');
    expect(lines).toHaveLength(1);
    expect(last()).toMatchObject({
      level: 'info',
      service: 'sextant-us-east-1',
      region: 'us-east-1',
      component: 'test',
      lsn: '12',
      epoch: 3,
      msg: 'volume recovered',
    });
    expect(last().time).toMatch(/^\d{4}-\d\d-\d\dT/);
  });

  it('carry the ids of the trace they belong to', () => {
    const { log, last } = capture();
    withTrace(log, context).warn('late');
    expect(last()).toMatchObject({ trace_id: context.traceId, span_id: context.spanId });
    log.warn(traceFields(null), 'untraced');
    expect(last()).not.toHaveProperty('trace_id');
  });

  it('keep the message, stack and code of an error', () => {
    const { log, last } = capture();
    log.error({ err: Object.assign(new Error('no quorum'), { code: 'QUORUM' }) }, 'append failed');
    expect(last()).toMatchObject({
      err: { message: 'no quorum', code: 'QUORUM', stack: expect.stringContaining('no quorum') },
    });
    log.error(new Error('bare'));
    expect(last()).toMatchObject({ msg: 'bare', err: { message: 'bare' } });
    log.error({ cause: new Error('nested') }, 'failed');
    expect(last()).toMatchObject({ cause: { message: 'nested' } });
  });

  it('fall back to info and say so when the level is unknown', () => {
    const { log, lines, last } = capture('loud');
    expect(last()).toMatchObject({ level: 'warn', level_wanted: 'loud' });
    log.debug('unseen');
    expect(lines).toHaveLength(1);
  });

  const secret = 'hunter2hunter2';
  const config = {
    cluster: 'c',
    secret,
    nats: { servers: ['nats://u:hunter2hunter2@127.0.0.1:7012'], token: secret },
  };
  it.each<[string, (log: ReturnType<typeof capture>['log']) => void]>([
    ['a field', (log) => log.info({ secret }, 'm')],
    ['a nested field', (log) => log.info({ config }, 'm')],
    [
      'a list of objects',
      (log) => log.info({ list: [{ password: secret }, { deep: { apiKey: secret } }] }, 'm'),
    ],
    ['a header', (log) => log.info({ headers: { Authorization: `Bearer ${secret}`, cookie: secret } }, 'm')],
    ['a whole object as a secret', (log) => log.info({ jwtKey: { kid: secret } }, 'm')],
    [
      'child bindings',
      (log) =>
        log
          .child({ token: { value: secret } })
          .child({ a: { token: secret } })
          .info('m'),
    ],
    ['an error', (log) => log.error({ err: Object.assign(new Error('x'), { config }) }, 'm')],
    ['a bare error', (log) => log.error(Object.assign(new Error('x'), { request: { token: secret } }))],
    ['a bearer credential in a message', (log) => log.info(`sent Authorization: Bearer ${secret}`)],
    ['a URL in a message', (log) => log.info(`connecting to nats://user:${secret}@127.0.0.1:7012/x`)],
    ['a URL in an error', (log) => log.error(new Error(`cannot reach https://${secret}@example.org/`))],
  ])('never show a secret in %s (T5)', (_name, act) => {
    const { log, lines } = capture();
    act(log);
    expect(lines.join('')).toContain('[redacted]');
    expect(lines.join('')).not.toContain(secret);
    for (const line of lines) expect(() => JSON.parse(line)).not.toThrow();
  });

  it('never show a JWT, wherever it stands (T5)', () => {
    const { log, lines } = capture();
    log.info({ query: `?access=${jwt}` }, `got ${jwt}`);
    expect(lines.join('')).not.toContain(jwt);
    expect(lines.join('')).toContain('[redacted]');
  });

  it('leave ordinary text as it is', () => {
    const { log, last } = capture();
    log.info({ url: 'http://127.0.0.1:7011/v2', who: 'a@b.c' }, 'the bearer of news');
    expect(last()).toMatchObject({ url: 'http://127.0.0.1:7011/v2', who: 'a@b.c' });
  });
});
