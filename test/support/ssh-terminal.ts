/** A person at a real terminal, which can also be made wider and narrower while they type. */
import { spawn } from '@lydell/node-pty'

export interface Size {
  readonly columns: number
  readonly rows: number
}

/** Once that is shown, the next is typed, or the terminal gets another size. */
export type Turn = readonly [shown: RegExp, next: string | Size]

export interface Seen {
  readonly code: number
  readonly shown: string
}

export function converseAt(
  { columns, rows }: Size,
  command: readonly [program: string, ...args: string[]],
  turns: readonly Turn[],
  timeoutMs = 25_000,
): Promise<Seen> {
  const [program, ...args] = command
  const env = { ...process.env, TERM: 'xterm-256color' }
  const terminal = spawn(program, args, { cols: columns, rows, env })
  const left = [...turns]
  let shown = ''
  let unread = ''
  terminal.onData((text) => {
    shown += text
    unread += text
    for (;;) {
      const [turn] = left
      if (turn === undefined || !turn[0].test(unread)) return
      unread = ''
      left.shift()
      if (typeof turn[1] === 'string') terminal.write(turn[1])
      else terminal.resize(turn[1].columns, turn[1].rows)
    }
  })
  return new Promise((resolve) => {
    const timer = setTimeout(() => terminal.kill(), timeoutMs)
    terminal.onExit(({ exitCode }) => {
      clearTimeout(timer)
      resolve({ code: left.length === 0 ? exitCode : -1, shown })
    })
  })
}
