/** Logins of OpenSSH in which somebody types. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { RunOptions } from '../../support/ssh-clients.ts'
import type { Sshd } from '../../support/ssh-sshd.ts'

/** Answers each prompt of ssh's by one secret. */
export function typing(sshd: Sshd, secret: string): RunOptions {
  const path = join(sshd.folder, 'askpass')
  writeFileSync(path, `#!/bin/sh\nprintf '%s\\n' "$GATEBOOK_SECRET"\n`, { mode: 0o755 })
  return { env: { SSH_ASKPASS: path, SSH_ASKPASS_REQUIRE: 'force', DISPLAY: 'x', GATEBOOK_SECRET: secret } }
}
export const BY_PASSWORD = ['-o', 'PreferredAuthentications=password', '-o', 'NumberOfPasswordPrompts=1']
export const BY_PROMPT = [
  '-o',
  'PreferredAuthentications=keyboard-interactive',
  '-o',
  'NumberOfPasswordPrompts=1',
]
