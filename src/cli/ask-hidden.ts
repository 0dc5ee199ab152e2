/** Asks for a secret without showing what is typed. */
import { spawnSync } from 'node:child_process'
import { createInterface } from 'node:readline/promises'

export async function askHidden(question: string): Promise<string> {
  process.stderr.write(question)
  const lines = createInterface({ input: process.stdin, terminal: false })
  if (process.stdin.isTTY) spawnSync('stty', ['-echo'], { stdio: 'inherit' })
  try {
    return await lines.question('')
  } finally {
    if (process.stdin.isTTY) spawnSync('stty', ['echo'], { stdio: 'inherit' })
    lines.close()
    process.stderr.write('\n')
  }
}
