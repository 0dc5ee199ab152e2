/**
 * The commands that are derived from terminals, against what was really entered, in real shells through the whole
 * gateway. They are a heuristic: precision and recall are printed, and held to what README promises.
 */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { converse } from '../../support/ssh-clients.ts'
import { closedBook, gatewayOptions, startSshGateway } from '../../support/ssh-gateway.ts'
import { type Sshd, startSshd } from '../../support/ssh-sshd.ts'

let sshd: Sshd

beforeAll(async () => {
  sshd = await startSshd()
  writeFileSync(
    join(sshd.folder, 'a-rather-long-name.txt'),
    Array.from({ length: 200 }, (_, i) => `line ${i}\n`).join(''),
  )
})

afterAll(() => sshd.stop())

/** What is typed, and what a person would say was run by it; a full-screen program has keys of its own. */
type Turn = readonly [typed: string, ran: string | undefined, screen?: string]

const LEFT = '\u{1b}[D'
const UP = '\u{1b}[A'
const RUBOUT = '\u{7f}'

/** In every shell, a terminal's own line editing included. */
const PLAIN: readonly Turn[] = [
  ['echo one  two\r', 'echo one  two'],
  ['\r', undefined],
  [`ecko${RUBOUT}${RUBOUT}ho erased\r`, 'echo erased'],
  ['rm -rf /nowhere\u{15}echo begun anew\r', 'echo begun anew'],
  ['false\r', 'false'],
  ['echo left behind\u{3}', undefined],
  ['ls /nonexistent 2>&1 | wc -l\r', 'ls /nonexistent 2>&1 | wc -l'],
  ['echo \'quotes "and" $HOME\'\r', 'echo \'quotes "and" $HOME\''],
  [`echo ${'long '.repeat(30)}end\r`, `echo ${'long '.repeat(30)}end`],
  ['echo $((6 * 7)) > /dev/null\r', 'echo $((6 * 7)) > /dev/null'],
  ['printf "no newline"\r', 'printf "no newline"'],
  ['echo next\r', 'echo next'],
  ['cd /tmp\r', 'cd /tmp'],
  ['pwd; id -u\r', 'pwd; id -u'],
  ['# only a comment\r', '# only a comment'],
  ['seq 1 60\r', 'seq 1 60'],
  ['sleep 0.1 && echo slept\r', 'sleep 0.1 && echo slept'],
  ['true\r', 'true'],
]

/** Where the shell edits lines itself. */
const EDITED = (): readonly Turn[] => [
  [`cd ${sshd.folder}\r`, `cd ${sshd.folder}`],
  [`echo wrld${LEFT}${LEFT}${LEFT}o\r`, 'echo world'],
  [`${UP}\r`, 'echo world'],
  [`${UP}${UP}${UP}\r`, `cd ${sshd.folder}`],
  ['head -1 a-ra\t\r', 'head -1 a-rather-long-name.txt'],
  ['less a-ra\t\r', 'less a-rather-long-name.txt', 'q'],
  ['vi -u NONE a-ra\t\r', 'vi -u NONE a-rather-long-name.txt', ':q!\r'],
  ['echo after the full screen\r', 'echo after the full screen'],
]

/** Types each line at a prompt, and says what was derived. */
async function inShell(start: string, prompt: RegExp, turns: readonly Turn[]) {
  const gateway = await startSshGateway(sshd)
  try {
    const typed = turns.flatMap(([line, , keys]): [RegExp, string][] =>
      keys === undefined
        ? [[prompt, line]]
        : [
            [prompt, line],
            [/\[\?1049h[\s\S]{20}/, keys],
          ],
    )
    const { code, out } = await converse(
      'ssh',
      ['-tt', ...gatewayOptions(sshd, gateway), 'alice@127.0.0.1', start],
      [...typed, [prompt, 'exit 4\r']],
      60_000,
    )
    expect(code, out.toString().slice(-2000)).toBe(4)
    const { commands, markers } = await closedBook(gateway)
    return { derived: commands.slice(0, -1), markers, last: commands.at(-1) }
  } finally {
    await gateway[Symbol.asyncDispose]()
  }
}

/** Shares of what was derived that was run, and of what was run that was derived; in order, each once. */
function judge(name: string, derived: readonly string[], turns: readonly Turn[]) {
  const ran = turns.flatMap(([, command]) => (command === undefined ? [] : [command]))
  let at = 0
  const right = derived.filter((command) => {
    const found = ran.indexOf(command, at)
    if (found === -1) return false
    at = found + 1
    return true
  }).length
  const [precision, recall] = [right / derived.length, right / ran.length]
  const share = (value: number): string => `${(value * 100).toFixed(1)} %`
  process.stderr.write(`${name}: precision ${share(precision)}, recall ${share(recall)} of ${ran.length}\n`)
  const missed = ran.filter((command) => !derived.includes(command))
  const invented = derived.filter((command) => !ran.includes(command))
  return { precision, recall, missed, invented }
}

const GOOD = { precision: expect.closeTo(1, 1), recall: expect.closeTo(1, 1), missed: [], invented: [] }

describe('with an ordinary prompt', () => {
  test('in bash', async () => {
    const turns = [...PLAIN, ...EDITED()]
    const start = "env TERM=xterm-256color PS1='alice@web:\\w$ ' bash --norc --noprofile -i"
    const { derived, last } = await inShell(start, /alice@web:[^\n]*\$ $/, turns)
    expect(judge('bash', derived, turns)).toEqual(GOOD)
    expect(last).toBe('exit 4')
  })

  test('in zsh', async () => {
    const turns = [...PLAIN, ...EDITED()].filter(([line]) => !line.startsWith('#'))
    const start = "env TERM=xterm-256color PS1='web%# ' zsh -f -i"
    const { derived, last } = await inShell(start, /web# .{0,20}$/, turns)
    expect(judge('zsh', derived, turns)).toEqual(GOOD)
    expect(last).toBe('exit 4')
  })

  test('in dash, where the terminal itself edits lines', async () => {
    const start = "env TERM=xterm-256color PS1='$ ' dash -i"
    const { derived } = await inShell(start, /\$ $/, PLAIN)
    expect(judge('dash', derived, PLAIN)).toEqual(GOOD)
  })
})

test('where the shell marks its prompts, each command with its status', async () => {
  const rc = join(sshd.folder, 'marks.bash')
  writeFileSync(
    rc,
    `PROMPT_COMMAND='printf "\\e]133;D;%s\\a" $?'\nPS1='\\[\\e]133;A\\a\\]100% > odd $ \\[\\e]133;B\\a\\]'\n`,
  )
  const turns = [...PLAIN, ...EDITED()]
  const { derived, markers } = await inShell(
    `env TERM=xterm-256color bash --rcfile ${rc} -i`,
    /odd \$ .{0,30}$/,
    turns,
  )
  const { precision, recall } = judge('bash with OSC 133', derived, turns)
  expect([precision, recall]).toEqual([1, 1])
  const at = markers.findIndex((marker) => marker['command'] === 'false')
  expect(markers.slice(at, at + 2)).toEqual([{ command: 'false', by: 'mark' }, { status: 1 }])
})

test('a password typed at a prompt of a program is nowhere, and is counted', async () => {
  const gateway = await startSshGateway(sshd)
  const ask = `python3 -c 'import getpass; print(len(getpass.getpass("[sudo] password for alice: ")))'`
  const prompt = /web\$ $/
  const { code } = await converse(
    'ssh',
    [
      '-tt',
      ...gatewayOptions(sshd, gateway),
      'alice@127.0.0.1',
      "env TERM=xterm PS1='web$ ' bash --norc --noprofile -i",
    ],
    [
      [prompt, `${ask}\r`],
      [/password for alice: $/, 'correct horse battery\r'],
      [prompt, 'exit 4\r'],
    ],
  )
  expect(code).toBe(4)
  const book = await closedBook(gateway)
  expect(book.commands).toEqual([ask, 'exit 4'])
  expect(book.payloads.length).toBeGreaterThan(3)
  for (const payload of book.payloads) expect(payload.includes('correct horse')).toBe(false)
  expect(book.operations[0]?.meta).toMatchObject({ unechoed: { lines: 1, characters: 21 } })
  await gateway[Symbol.asyncDispose]()
})

test('where output is not kept, the commands are all the same', async () => {
  const gateway = await startSshGateway(sshd, {
    changes: [['  durability: standard\n', '  durability: standard\n  ssh: { output: false }\n']],
  })
  const { code } = await converse(
    'ssh',
    [
      '-tt',
      ...gatewayOptions(sshd, gateway),
      'alice@127.0.0.1',
      "env TERM=xterm PS1='web$ ' bash --norc --noprofile -i",
    ],
    [
      [/web\$ $/, 'echo s$((1))ecret\r'],
      [/web\$ $/, 'exit 4\r'],
    ],
  )
  expect(code).toBe(4)
  const book = await closedBook(gateway)
  expect(book.commands).toEqual(['echo s$((1))ecret', 'exit 4'])
  for (const payload of book.payloads) expect(payload.includes('s1ecret')).toBe(false)
  await gateway[Symbol.asyncDispose]()
})

test('under strict, a terminal in which too much is entered unseen ends, and says why', async () => {
  const gateway = await startSshGateway(sshd, { target: 'durability: strict' })
  const { code, err } = await converse(
    'ssh',
    [
      '-tt',
      ...gatewayOptions(sshd, gateway),
      'alice@127.0.0.1',
      "env TERM=xterm PS1='web$ ' bash --norc --noprofile -i",
    ],
    [
      [/web\$ $/, 'stty -echo\r'],
      ...Array.from({ length: 8 }, (_, i): [RegExp, string] => [/web\$ $/, `echo unseen-${i}\r`]),
    ],
  )
  expect([code, err]).toEqual([
    77,
    expect.stringMatching(/gatebook: \d+ lines were entered that this terminal did not show/),
  ])
  const { operations } = await closedBook(gateway)
  expect(operations).toMatchObject([{ act: 'ssh.exec', out: 'aborted' }])
  await gateway[Symbol.asyncDispose]()
})
