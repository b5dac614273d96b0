/** The keys for an S3 server: from a file in the form that AWS tools use, or from the environment. They are shown nowhere. */
import { readFileSync, statSync } from 'node:fs';

export interface S3Credentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string;
}

export type CredentialsRead =
  | { readonly kind: 'read'; readonly credentials: S3Credentials }
  | { readonly kind: 'absent'; readonly reason: string };

const otherMayRead = 0o007;

/**
 * @param file with lines `aws_access_key_id = …` and `aws_secret_access_key = …`, under `[default]` or nothing; for its owner and
 * group alone. Left out: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and, where there is one, AWS_SESSION_TOKEN.
 */
export function readCredentials(
  file: string | undefined,
  env: Readonly<Record<string, string | undefined>> = process.env,
): CredentialsRead {
  const absent = (reason: string): CredentialsRead => ({ kind: 'absent', reason });
  if (file === undefined) {
    const made = credentialsOf(env.AWS_ACCESS_KEY_ID, env.AWS_SECRET_ACCESS_KEY, env.AWS_SESSION_TOKEN);
    return made ?? absent('name a credentialsFile, or set $AWS_ACCESS_KEY_ID and $AWS_SECRET_ACCESS_KEY');
  }
  try {
    if ((statSync(file).mode & otherMayRead) !== 0)
      return absent(`everybody on this machine may read ${file}: \`chmod 600\` it`);
    const values = valuesIn(readFileSync(file, 'utf8'));
    const made = credentialsOf(
      values.get('aws_access_key_id'),
      values.get('aws_secret_access_key'),
      values.get('aws_session_token'),
    );
    return made ?? absent(`${file} lacks aws_access_key_id or aws_secret_access_key`);
  } catch (error) {
    return absent(`${file} cannot be read (${(error as NodeJS.ErrnoException).code ?? 'unreadable'})`);
  }
}

function credentialsOf(
  accessKeyId: string | undefined,
  secretAccessKey: string | undefined,
  sessionToken: string | undefined,
): CredentialsRead | null {
  if (!accessKeyId || !secretAccessKey) return null;
  return {
    kind: 'read',
    credentials: { accessKeyId, secretAccessKey, ...(sessionToken && { sessionToken }) },
  };
}

/** Of the profile `default`, or of what stands before any profile. */
function valuesIn(text: string): ReadonlyMap<string, string> {
  const values = new Map<string, string>();
  let profile = 'default';
  for (const line of text.split('\n')) {
    const section = /^\s*\[\s*([^\]]+?)\s*\]/.exec(line)?.[1];
    if (section !== undefined) profile = section;
    const [, key, value] = /^\s*([a-z_]+)\s*=\s*(.*?)\s*$/.exec(line) ?? [];
    if (profile === 'default' && key !== undefined && value !== undefined) values.set(key, value);
  }
  return values;
}
