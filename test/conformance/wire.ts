/** A piece of network between two processes that a test can cut. */
import { connect, createServer, type Server, type Socket } from 'node:net';

/** Passes everything on between a caller and a port, until it is cut: then it takes in nothing and nobody is told. */
export class Wire {
  /** Where callers come in. */
  readonly port: number;
  private readonly server: Server;
  private readonly pairs = new Set<readonly [Socket, Socket]>();
  private isCut = false;

  private constructor(port: number, to: number) {
    this.port = port;
    this.server = createServer((near) => {
      const far = connect(to, '127.0.0.1');
      const pair = [near, far] as const;
      this.pairs.add(pair);
      const end = (): void => {
        this.pairs.delete(pair);
        near.destroy();
        far.destroy();
      };
      for (const socket of pair) socket.on('error', end).on('close', end);
      near.pipe(far);
      far.pipe(near);
      if (this.isCut) for (const socket of pair) socket.pause();
    });
  }

  static async open(port: number, to: number): Promise<Wire> {
    const wire = new Wire(port, to);
    await new Promise<void>((resolve) => wire.server.listen(port, '127.0.0.1', resolve));
    return wire;
  }

  cut(): void {
    this.isCut = true;
    for (const [near, far] of this.pairs) {
      near.unpipe(far);
      far.unpipe(near);
      near.pause();
      far.pause();
    }
  }

  /** What stood still is over for good; new callers get through. */
  heal(): void {
    this.isCut = false;
    for (const [near] of this.pairs) near.destroy();
  }

  close(): void {
    this.server.close();
    for (const [near] of this.pairs) near.destroy();
  }
}
