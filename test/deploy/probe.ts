/** What a port says to whoever is not meant to be there: plain text, TLS with some certificate, requests with some header. */
import { readFileSync } from 'node:fs';
import { request } from 'node:https';
import { connect } from 'node:net';
import { join } from 'node:path';
import { connect as connectTls, type TLSSocket } from 'node:tls';

const patienceMs = 6_000;

export interface Pem {
  readonly cert: string;
  readonly key: string;
}

/** The certificate in a directory that `sextant certs issue` made. */
export const pemIn = (dir: string): Pem => ({
  cert: readFileSync(join(dir, 'cert.pem'), 'utf8'),
  key: readFileSync(join(dir, 'key.pem'), 'utf8'),
});

const split = (address: string): { readonly host: string; readonly port: number } => {
  const at = address.lastIndexOf(':');
  return { host: address.slice(0, at), port: Number(address.slice(at + 1)) };
};

/** Sends text without TLS. @returns all that comes back until the other side ends it. */
export function sayPlainly(address: string, text: string): Promise<string> {
  return new Promise((resolve) => {
    let heard = '';
    const socket = connect(split(address));
    socket.setTimeout(patienceMs, () => socket.destroy());
    socket.on('data', (bytes) => (heard += bytes.toString('latin1')));
    socket.on('error', (error) => (heard += `(${error.message})`));
    socket.once('close', () => resolve(heard));
    socket.once('connect', () => socket.write(text));
  });
}

export interface Reply {
  readonly status: number;
  readonly body: string;
}

/** One HTTPS request with a certificate of the caller's choice. Whom it trusts is not the question here. */
export function ask(
  url: string,
  options: {
    readonly pem?: Pem;
    readonly headers?: Readonly<Record<string, string>>;
    readonly body?: string;
    readonly method?: string;
  } = {},
): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const asking = request(url, {
      ...options.pem,
      agent: false,
      rejectUnauthorized: false,
      method: options.method ?? (options.body === undefined ? 'GET' : 'POST'),
      headers: {
        ...options.headers,
        ...(options.body !== undefined && { 'content-type': 'application/json' }),
      },
      timeout: patienceMs,
    });
    asking.once('error', reject);
    asking.once('timeout', () => asking.destroy(new Error(`no answer within ${patienceMs} ms`)));
    asking.once('response', (response) => {
      let body = '';
      response.setEncoding('utf8').on('data', (chunk: string) => (body += chunk));
      response.once('end', () => resolve({ status: response.statusCode ?? 0, body }));
    });
    asking.once('upgrade', (response, socket) => {
      socket.destroy();
      resolve({ status: response.statusCode ?? 0, body: 'upgraded' });
    });
    asking.end(options.body);
  });
}

/** Asks for a link of storage nodes. */
export const askForLink = (
  address: string,
  { cluster, secret, pem }: { readonly cluster: string; readonly secret: string; readonly pem?: Pem },
): Promise<Reply> =>
  ask(`https://${address}/link`, {
    ...(pem !== undefined && { pem }),
    headers: {
      connection: 'Upgrade',
      upgrade: 'websocket',
      'sec-websocket-version': '13',
      'sec-websocket-key': 'AAAAAAAAAAAAAAAAAAAAAA==',
      'x-sextant-cluster': cluster,
      'x-sextant-version': '1',
      authorization: `Bearer ${secret}`,
    },
  });

/** Sends text over TLS with some certificate. @returns what comes back, or why the connection ended. */
export function sayOverTls(address: string, pem: Pem, text: string): Promise<string> {
  return new Promise((resolve) => {
    let heard = '';
    const socket = connectTls({ ...split(address), rejectUnauthorized: false, ...pem }, () =>
      socket.write(text),
    );
    socket.setTimeout(patienceMs, () => socket.destroy());
    socket.on('data', (bytes) => (heard += bytes.toString('latin1')));
    socket.on('error', (error) => (heard += `(${error.message})`));
    socket.once('close', () => resolve(heard));
  });
}

/**
 * Talks to a NATS server as a client does: its INFO in plain text, then TLS with some certificate, then CONNECT.
 * @returns what it says after INFO, or why the connection ended.
 */
export function askNats(address: string, pem: Pem | undefined, commands: string): Promise<string> {
  return new Promise((resolve) => {
    let heard = '';
    const plain = connect(split(address));
    const end = (why: string): void => {
      clearTimeout(timer);
      plain.destroy();
      resolve(`${heard}${why}`);
    };
    const timer = setTimeout(() => end('(silence)'), patienceMs);
    plain.once('error', (error) => end(`(${error.message})`));
    plain.once('data', () => {
      const socket: TLSSocket = connectTls({ socket: plain, rejectUnauthorized: false, ...pem }, () =>
        socket.write(commands),
      );
      socket.on('data', (bytes) => (heard += bytes.toString('latin1')));
      socket.once('error', (error) => end(`(${error.message})`));
      socket.once('close', () => end(''));
    });
  });
}
