import { createClient } from '@libsql/client';
import { describe, expect, it } from 'vitest';
import { hranaTarget } from '../../../gateway/hrana/core/hrana-target.ts';
import { RawSocket, startHarness } from './hrana-harness.ts';

describe('the target of a request', () => {
  it('is its path, and the consistency that path, query or header ask for', () => {
    const target = (url: string, header?: string) => {
      const read = hranaTarget({ url, read: header }, () => false);
      return read.ok ? [read.value.path, read.value.readPreference] : read.error.message;
    };
    expect(target('/v2/pipeline')).toEqual(['/v2/pipeline', null]);
    expect(target('/?x=1')).toEqual(['/', null]);
    for (const url of ['/read/global', '/read/global/', '/read/GLOBAL/', '/?sextant_read=global'])
      expect(target(url), url).toEqual(['/', 'global']);
    expect(target('/read/eventual/v3-protobuf/cursor')).toEqual(['/v3-protobuf/cursor', 'eventual']);
    expect(target('/read/eventual/v2/pipeline?sextant_read=session', 'global')).toEqual([
      '/v2/pipeline',
      'global',
    ]);
    expect(target('/v2/pipeline', 'gobal')).toContain('"gobal" is no consistency of reads');
    expect(target('/read/v2/pipeline')).toContain('/read/<eventual|session|global>/');
  });

  it('is a branch where the path, or a host name that is one, says so', () => {
    const target = (url: string, host?: string) => {
      const read = hranaTarget({ url, host }, (name) => name === 'dev' || name === '127');
      return read.ok ? [read.value.branch, read.value.path] : read.error.code;
    };
    expect(target('/v2/pipeline', 'db.example:8080')).toEqual(['main', '/v2/pipeline']);
    expect(target('/branch/dev/v2/pipeline')).toEqual(['dev', '/v2/pipeline']);
    expect(target('/branch/dev')).toEqual(['dev', '/']);
    for (const url of ['/branch/dev/read/global/v3/cursor', '/read/global/branch/dev/v3/cursor'])
      expect(target(url), url).toEqual(['dev', '/v3/cursor']);
    for (const host of ['dev.db.example', 'DEV.localhost:7011'])
      expect(target('/', host), host).toEqual(['dev', '/']);
    // The path counts before the host, and an address is no name.
    expect(target('/branch/main/', 'dev.db.example')).toEqual(['main', '/']);
    for (const host of ['127.0.0.1:7011', '[::1]:7011', 'dev', 'dev:7011', 'other.db.example'])
      expect(target('/', host), host).toEqual(['main', '/']);
    for (const url of ['/branch/', '/branch/No_Name/', '/branch/v2/pipeline', '/branch/dev%2f/'])
      expect(target(url), url).toBe('SEXTANT_BRANCH_UNKNOWN');
  });

  it('names the slash that is missing, to a stock client whose URL has none', async () => {
    const { http } = await startHarness();
    const client = createClient({ url: `${http}/read/global` });
    await expect(client.execute('SELECT 1')).rejects.toMatchObject({
      code: 'SEXTANT_NOT_FOUND',
      message: expect.stringContaining('with the slash at its end'),
    });
    client.close();
  });

  it('opens the streams of programs that send the header', async () => {
    const { http, ws, twin, post } = await startHarness();
    const headers = { 'sextant-read': 'eventual' };
    await post('/v2/pipeline', { requests: [{ type: 'close' }] }, headers);
    await post('/v1/execute', { stmt: { sql: 'SELECT 1' } }, headers);
    expect(twin.opened).toEqual([{ readPreference: 'eventual' }, { readPreference: 'eventual' }]);
    const wrong = { 'sextant-read': 'now' };
    expect(await post('/v2/pipeline', { requests: [] }, wrong)).toMatchObject({
      status: 400,
      json: { code: 'SEXTANT_PROTOCOL_ERROR' },
    });
    await expect(RawSocket.open(`${ws}/read/now`)).rejects.toThrow('404');
    expect((await fetch(`${http}/read/global/health`)).status).toBe(200);
  });
});
