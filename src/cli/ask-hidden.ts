/** Asks for a secret without showing what is typed. */
import { spawnSync } from 'node:child_process'
import { createInterface } from 'node:readline/promises'

export async function askHidden(question: string): Promise<string> {
  // Before it is asked for: whoever types at once is not to be seen either.
  if (process.stdin.isTTY) spawnSync('stty', ['-echo'], { stdio: 'inherit' })
  process.stderr.write(question)
  const lines = createInterface({ input: process.stdin, terminal: false })
  try {
    return await lines.question('')
  } finally {
    if (process.stdin.isTTY) spawnSync('stty', ['echo'], { stdio: 'inherit' })
    lines.close()
    process.stderr.write('\n')
  }
}
