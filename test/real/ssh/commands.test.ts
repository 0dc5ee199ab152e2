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
import { converseAt, type Turn as TerminalTurn } from '../../support/ssh-terminal.ts'

let sshd: Sshd

beforeAll(async () => {
  sshd = await startSshd()
  const within = `set -g default-command "PS1='within> ' exec dash -i"\n`
  writeFileSync(join(sshd.folder, 'mux.conf'), within)
  writeFileSync(
    join(sshd.folder, 'a-rather-long-name.txt'),
    Array.from({ length: 200 }, (_, i) => `line ${i}\n`).join(''),
  )
})

afterAll(() => sshd.stop())

/** What is typed, what a person would say was run by it, and what is done while it runs or is half typed. */
type Turn = readonly [typed: string, ran: string | undefined, meanwhile?: readonly TerminalTurn[]]

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

/** What less, vi and tmux say first. */
const FULL_SCREEN = /\[\?1049h[\s\S]{20}/

/** Where the shell edits lines itself. */
const EDITED = (): readonly Turn[] => [
  [`cd ${sshd.folder}\r`, `cd ${sshd.folder}`],
  [`echo wrld${LEFT}${LEFT}${LEFT}o\r`, 'echo world'],
  [`${UP}\r`, 'echo world'],
  [`${UP}${UP}${UP}\r`, `cd ${sshd.folder}`],
  ['head -1 a-ra\t\r', 'head -1 a-rather-long-name.txt'],
]

/** Programs that take the whole screen; what is typed into them are no commands of the shell. */
const SCREENS = (): readonly Turn[] => [
  [`cd ${sshd.folder}\r`, `cd ${sshd.folder}`],
  [
    'less a-rather-long-name.txt\r',
    'less a-rather-long-name.txt',
    [
      [FULL_SCREEN, '/line 77\r'],
      [/line 99/, 'q'],
    ],
  ],
  ['echo after less\r', 'echo after less'],
  [
    'vi -u NONE a-rather-long-name.txt\r',
    'vi -u NONE a-rather-long-name.txt',
    [
      [FULL_SCREEN, 'Orm -rf /only/a/text\recho another\u{1b}'],
      [/another/, { columns: 90, rows: 30 }],
      [/another/, ':q!\r'],
    ],
  ],
  ['echo after vi\r', 'echo after vi'],
  // tmux throws away what its terminal has not sent yet: what it is started by is entered when it has been shown.
  ['export TMUX_TMPDIR=.\r', 'export TMUX_TMPDIR=.'],
  [
    'tmux -f mux.conf new',
    'tmux -f mux.conf new',
    [
      [/mux.conf new$/, '\r'],
      [/\[\?1049h[\s\S]*within> /, 'echo $((40 + 2))-within\r'],
      [/42-within/, { columns: 80, rows: 24 }],
      [/42-within/, '\u{2}d'],
    ],
  ],
  ['echo detached\r', 'echo detached'],
  [
    'tmux attach',
    'tmux attach',
    [
      [/tmux attach$/, '\r'],
      [/42-within[\s\S]*within> /, 'exit\r'],
    ],
  ],
  ['echo after tmux\r', 'echo after tmux'],
]

/** A window that changes while a line is typed, and while a program runs. */
const RESIZED = (redrawn: RegExp): readonly Turn[] => [
  [
    'echo half and',
    'echo half and whole',
    [
      [/half and/, { columns: 60, rows: 20 }],
      [redrawn, ' whole\r'],
    ],
  ],
  // What it shows is not what was typed, so that the window changes while it runs.
  ['echo r$((6 * 7)); sleep 0.3\r', 'echo r$((6 * 7)); sleep 0.3', [[/r42/, { columns: 100, rows: 40 }]]],
  [`echo ${'wide '.repeat(25)}end\r`, `echo ${'wide '.repeat(25)}end`],
  [
    `echo ${'narrow '.repeat(20)}half`,
    `echo ${'narrow '.repeat(20)}half and whole`,
    [
      [/half/, { columns: 70, rows: 24 }],
      [redrawn, ' and whole\r'],
    ],
  ],
  ['echo after all sizes\r', 'echo after all sizes'],
]

/** Types each line at a prompt, and says what was derived. */
async function inShell(start: string, prompt: RegExp, turns: readonly Turn[]) {
  const gateway = await startSshGateway(sshd)
  try {
    const typed = turns.flatMap(([line, , meanwhile = []]): TerminalTurn[] => [[prompt, line], ...meanwhile])
    const { code, shown } = await converseAt(
      { columns: 80, rows: 24 },
      ['ssh', '-tt', ...gatewayOptions(sshd, gateway), 'alice@127.0.0.1', start],
      [...typed, [prompt, 'exit 4\r']],
    )
    expect(code, shown.slice(-2000)).toBe(4)
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
  const editing = () => [...PLAIN, ...EDITED(), ...SCREENS(), ...RESIZED(/half/)]

  test('in bash', async () => {
    const turns = editing()
    const start = "env TERM=xterm-256color PS1='alice@web:\\w$ ' bash --norc --noprofile -i"
    const { derived, last } = await inShell(start, /alice@web:[^\n]*\$ $/, turns)
    expect(judge('bash', derived, turns)).toEqual(GOOD)
    expect(last).toBe('exit 4')
  })

  test('in zsh', async () => {
    const turns = editing().filter(([line]) => !line.startsWith('#'))
    const start = "env TERM=xterm-256color PS1='web%# ' zsh -f -i"
    const { derived, last } = await inShell(start, /web# .{0,20}$/, turns)
    expect(judge('zsh', derived, turns)).toEqual(GOOD)
    expect(last).toBe('exit 4')
  })

  test('in dash, where the terminal itself edits lines', async () => {
    // Nothing is drawn again there when the window changes.
    const turns = [...PLAIN, ...SCREENS(), ...RESIZED(/(?:)/)]
    const start = "env TERM=xterm-256color PS1='$ ' dash -i"
    const { derived } = await inShell(start, /\$ $/, turns)
    expect(judge('dash', derived, turns)).toEqual(GOOD)
  })
})

test('where the shell marks its prompts, each command with its status', async () => {
  const rc = join(sshd.folder, 'marks.bash')
  writeFileSync(
    rc,
    `PROMPT_COMMAND='printf "\\e]133;D;%s\\a" $?'\nPS1='\\[\\e]133;A\\a\\]100% > odd $ \\[\\e]133;B\\a\\]'\n`,
  )
  const turns = [...PLAIN, ...EDITED(), ...SCREENS(), ...RESIZED(/half/)]
  const { derived, markers } = await inShell(
    `env TERM=xterm-256color bash --rcfile ${rc} -i`,
    /odd \$ .{0,30}$/,
    turns,
  )
  expect(judge('bash with OSC 133', derived, turns)).toEqual({
    ...{ precision: 1, recall: 1, missed: [], invented: [] },
  })
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
