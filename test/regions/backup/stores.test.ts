import { chmodSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { DirectoryStore } from '../../../regions/backup/directory-store.ts';
import { readCredentials } from '../../../regions/backup/s3-credentials.ts';
import { listedIn, S3Store } from '../../../regions/backup/s3-store.ts';

let directory: string;
let server: Server;
let endpoint: string;
const asked: { readonly method: string; readonly url: string; readonly authorization: string }[] = [];
let answer: { readonly status: number; readonly body: string } = { status: 200, body: '' };
const secretKey = 'a-secret-access-key-of-tests';

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'sextant-stores-'));
  server = createServer((request, response) => {
    const { method = '', url = '', headers } = request;
    asked.push({ method, url, authorization: headers.authorization ?? '' });
    request.resume().on('end', () => response.writeHead(answer.status).end(answer.body));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  endpoint = `http://127.0.0.1:${typeof address === 'object' ? address?.port : ''}`;
});
afterAll(() => {
  server.close();
  rmSync(directory, { recursive: true, force: true });
});

describe('a directory as a store', () => {
  it('gives back what was put, whole or not at all, and lists nothing else', async () => {
    const store = new DirectoryStore(join(directory, 'store'));
    expect(await store.list('log/')).toEqual([]);
    expect(await store.get('log/a')).toBeNull();
    await store.put('log/a', new Uint8Array([1, 2]));
    await store.put('log/a', new Uint8Array([3]));
    await store.put('images/x/b', new Uint8Array(5));
    expect([...((await store.get('log/a')) ?? [])]).toEqual([3]);
    writeFileSync(join(directory, 'store/log/.new-1-1'), 'cut off');
    expect(await store.list('log/')).toEqual([{ name: 'log/a', bytes: 1 }]);
    expect((await store.list('')).map(({ name }) => name).sort()).toEqual(['images/x/b', 'log/a']);
    await new DirectoryStore(join(directory, 'store')).put('log/c', new Uint8Array(1));
    expect(readdirSync(join(directory, 'store/log')).sort()).toEqual(['a', 'c']);
    await store.remove('log/a');
    await store.remove('log/a');
    expect(await store.get('log/a')).toBeNull();
  });

  it('says which directory cannot be written, and why', async () => {
    writeFileSync(join(directory, 'file'), '');
    await expect(new DirectoryStore(join(directory, 'file')).put('a/b', new Uint8Array(1))).rejects.toThrow(
      `the backup store ${join(directory, 'file')} cannot be written (ENOTDIR)`,
    );
  });
});

describe('keys for an S3 server', () => {
  const file = () => join(directory, 'credentials');

  it('come from the default profile of a file that others may not read', () => {
    writeFileSync(
      file(),
      '[other]\naws_access_key_id = no\n[default]\naws_access_key_id = AK\naws_secret_access_key=SK\n',
      { mode: 0o600 },
    );
    expect(readCredentials(file(), {})).toEqual({
      kind: 'read',
      credentials: { accessKeyId: 'AK', secretAccessKey: 'SK' },
    });
    chmodSync(file(), 0o644);
    expect(readCredentials(file(), {})).toMatchObject({ kind: 'absent', reason: /chmod 600/ });
    expect(readCredentials(join(directory, 'none'), {})).toMatchObject({
      reason: /none cannot be read \(ENOENT\)/,
    });
  });

  it('or from the environment; without any the way out is named', () => {
    const env = { AWS_ACCESS_KEY_ID: 'AK', AWS_SECRET_ACCESS_KEY: 'SK', AWS_SESSION_TOKEN: 'T' };
    expect(readCredentials(undefined, env)).toMatchObject({ credentials: { sessionToken: 'T' } });
    expect(readCredentials(undefined, {})).toMatchObject({ reason: /credentialsFile.*AWS_ACCESS_KEY_ID/ });
  });
});

describe('an S3 server as a store', () => {
  const open = (more: object = {}): S3Store => {
    const file = join(directory, 'keys');
    writeFileSync(file, `aws_access_key_id = AKTEST\naws_secret_access_key = ${secretKey}\n`, {
      mode: 0o600,
    });
    const place = {
      endpoint,
      region: 'eu-west-1',
      bucket: 'backups',
      prefix: 'p',
      credentialsFile: file,
      ...more,
    };
    return new S3Store(place as ConstructorParameters<typeof S3Store>[0], 's3://backups/p');
  };

  it('is asked with a signature, below the prefix, with the bucket in the path', async () => {
    answer = { status: 200, body: '' };
    asked.length = 0;
    await open().put('log/a-1.log', new Uint8Array([1]));
    expect(asked).toEqual([
      {
        method: 'PUT',
        url: '/backups/p/log/a-1.log',
        authorization: expect.stringMatching(/^AWS4-HMAC-SHA256 Credential=AKTEST\/\d{8}\/eu-west-1\/s3\//),
      },
    ]);
  });

  it('R67: an error has the code and the words of the server, and never a key', async () => {
    const body = `<Error><Code>AccessDenied</Code><Message>no &lt;way&gt;</Message><StringToSign>${secretKey}</StringToSign></Error>`;
    answer = { status: 403, body };
    const store = open();
    for (const act of [() => store.put('a', new Uint8Array(1)), () => store.get('a'), () => store.list('')]) {
      const said = await act().then(String, (error: Error) => error.message);
      expect(said).toMatch(/the backup store s3:\/\/backups\/p: .*: AccessDenied \(no <way>\)/);
      expect(said).not.toMatch(new RegExp(`${secretKey}|AKTEST`));
    }
    await expect(open({ endpoint: 'http://127.0.0.1:1' }).get('a')).rejects.toThrow(/does not answer \(/);
  });

  it('tells an object that is not there from a bucket that is not', async () => {
    answer = { status: 404, body: '<Error><Code>NoSuchKey</Code></Error>' };
    expect(await open().get('a')).toBeNull();
    answer = { status: 404, body: '<Error><Code>NoSuchBucket</Code></Error>' };
    await expect(open().get('a')).rejects.toThrow('the bucket does not exist');
  });

  it('a list is read page by page', () => {
    const xml =
      '<R><IsTruncated>true</IsTruncated><NextContinuationToken>t&amp;1</NextContinuationToken><EncodingType>url</EncodingType>' +
      '<Contents><Key>p/a%2Fb</Key><Size>5</Size></Contents><Contents><Key>p/c</Key><Size>0</Size></Contents></R>';
    expect(listedIn(xml)).toEqual({
      objects: [
        { name: 'p/a/b', bytes: 5 },
        { name: 'p/c', bytes: 0 },
      ],
      next: 't&1',
    });
    expect(listedIn('<R><IsTruncated>false</IsTruncated></R>')).toEqual({ objects: [], next: null });
  });
});
