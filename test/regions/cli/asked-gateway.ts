/** The real command before a gateway of this test's making: what it is asked, and what it answers. */
import { spawn } from 'node:child_process';
import { createServer, type Server } from 'node:http';
import { fileURLToPath } from 'node:url';

export const cli = fileURLToPath(new URL('../../../regions/cli/sextant.ts', import.meta.url));

/** Runs the real command. */
export function sextant(
  args: readonly string[],
  input = '',
): Promise<{ code: number | null; out: string; err: string }> {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, [cli, ...args], { stdio: 'pipe' });
    let [out, err] = ['', ''];
    child.stdout.on('data', (chunk) => {
      out += chunk;
    });
    child.stderr.on('data', (chunk) => {
      err += chunk;
    });
    child.once('close', (code) => resolve({ code, out, err }));
    child.stdin.end(input);
  });
}

type Reply = { readonly status?: number; readonly body: unknown };

/** Answers `NOT_FOUND` to what it has no reply for. */
export class AskedGateway {
  url = '';
  readonly requests: { readonly path: string; readonly body: unknown }[] = [];
  readonly replies: Record<string, (body: unknown) => Reply> = {};
  private readonly server: Server;

  private constructor() {
    this.server = createServer(async (request, response) => {
      let text = '';
      for await (const chunk of request) text += chunk;
      const body: unknown = text === '' ? undefined : JSON.parse(text);
      this.requests.push({ path: request.url ?? '', body });
      const reply = this.replies[request.url ?? '']?.(body) ?? {
        status: 404,
        body: { code: 'NOT_FOUND', message: 'nothing here' },
      };
      response
        .writeHead(reply.status ?? 200, { 'content-type': 'application/json' })
        .end(JSON.stringify(reply.body));
    });
  }

  static async start(): Promise<AskedGateway> {
    const asked = new AskedGateway();
    await new Promise<void>((done) => asked.server.listen(0, '127.0.0.1', done));
    const address = asked.server.address();
    asked.url = typeof address === 'object' ? `http://127.0.0.1:${address?.port}` : '';
    return asked;
  }

  /** Two regions, of which `us-east-1` writes. */
  status() {
    const { url } = this;
    return {
      cluster: 'test',
      epoch: 4,
      primary: 'us-east-1',
      state: 'stable',
      regions: [
        {
          name: 'us-east-1',
          role: 'primary',
          vdl: 2048,
          ready: true,
          gateway: url,
          nodes: [
            { id: 'n1', az: 'us-east-1a', state: 'running', scl: 2048, pid: 77, address: '127.0.0.1:7001' },
          ],
        },
        {
          name: 'eu-west-1',
          role: 'secondary',
          vdl: 1024,
          lagBytes: 1024,
          lagMs: 1500,
          rpoMs: 1500,
          ready: true,
          gateway: url,
          nodes: [],
        },
      ],
    };
  }

  close(): void {
    this.server.closeAllConnections();
    this.server.close();
  }
}
