/** Certificates for tests: an authority in a temporary directory, and whatever it is asked to issue, also what it should not. */
import { mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { issue, makeAuthority, type Signed } from '../regions/certs/sign.ts';
import type { Identity } from '../storage/core.ts';
import type { IdentityFiles } from '../storage/index.ts';

const dayMs = 24 * 3_600_000;

export class TestAuthority {
  readonly dir: string;
  private readonly signed: Signed;
  private made = 0;

  private constructor(dir: string, signed: Signed) {
    this.dir = dir;
    this.signed = signed;
  }

  static async make(cluster = 'test'): Promise<TestAuthority> {
    return new TestAuthority(
      mkdtempSync(join(tmpdir(), 'sextant-certs-')),
      await makeAuthority(cluster, Date.now()),
    );
  }

  get ca(): string {
    return this.signed.cert;
  }

  /** Files of one process. `ageDays` makes it as if it had been issued so long ago, for 90 days. */
  async issue(
    identity: Partial<Identity> & Pick<Identity, 'role'>,
    { ageDays = 0, ca = this.ca }: { readonly ageDays?: number; readonly ca?: string } = {},
  ): Promise<IdentityFiles> {
    const dir = join(this.dir, `${++this.made}`);
    mkdirSync(dir);
    const files = {
      caFile: join(dir, 'ca.pem'),
      certFile: join(dir, 'cert.pem'),
      keyFile: join(dir, 'key.pem'),
    };
    await this.issueInto(files, identity, { ageDays, ca });
    return files;
  }

  /** The same, in place of files that are in use. */
  async issueInto(
    files: IdentityFiles,
    identity: Partial<Identity> & Pick<Identity, 'role'>,
    { ageDays = 0, ca = this.ca }: { readonly ageDays?: number; readonly ca?: string } = {},
  ): Promise<void> {
    const whole = { cluster: 'test', region: 'us-east-1', name: identity.role, ...identity };
    const request = { identity: whole, hosts: ['127.0.0.1', 'localhost'], days: 90 };
    const { cert, key } = await issue(this.signed, request, Date.now() - ageDays * dayMs);
    replace(files.caFile, ca);
    replace(files.keyFile, key);
    replace(files.certFile, cert);
  }

  remove(): void {
    rmSync(this.dir, { recursive: true, force: true });
  }
}

/** As a careful operator does it: written aside, then moved into place. */
export function replace(file: string, text: string): void {
  writeFileSync(`${file}.new`, text);
  renameSync(`${file}.new`, file);
}
