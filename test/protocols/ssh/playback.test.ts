import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { concat } from '../../../protocols/bytes.ts'
import { PlaybackFilter } from '../../../protocols/ssh/playback.ts'

const ESC = '\u{1b}'
const bytes = (text: string) => new TextEncoder().encode(text)

function filter(text: string | Uint8Array): string {
  return new TextDecoder().decode(new PlaybackFilter().push(typeof text === 'string' ? bytes(text) : text))
}

describe('passes', () => {
  test.each([
    ['text, in any script', 'grüße 漢字 🙂\r\n'],
    ['controls that move', 'a\b\t\v\f\r\n'],
    ['colours', `${ESC}[1;31mred${ESC}[0m${ESC}[38;5;200m${ESC}[38:2::1:2:3m${ESC}[m`],
    [
      'movement of the cursor',
      `${ESC}[A${ESC}[2B${ESC}[3C${ESC}[4D${ESC}[5G${ESC}[6;7H${ESC}[8d${ESC}7${ESC}8${ESC}M`,
    ],
    [
      'erasing and scrolling',
      `${ESC}[J${ESC}[2K${ESC}[3P${ESC}[4@${ESC}[5L${ESC}[6M${ESC}[7X${ESC}[S${ESC}[T`,
    ],
  ])('%s', (_, text) => {
    expect(filter(text)).toBe(text)
  })
})

describe('drops', () => {
  test.each([
    ['window titles', `${ESC}]0;rm -rf /\u{7}`],
    ['the clipboard (OSC 52)', `${ESC}]52;c;cm0gLXJmIC8K${ESC}\\`],
    ['links', `${ESC}]8;;https://evil.example${ESC}\\`],
    ['OSC in eight bits', '\u{9d}52;c;AAAA\u{9c}'],
    ['device control strings', `${ESC}P$q"p${ESC}\\`],
    ['DCS in eight bits', '\u{90}+q544e\u{9c}'],
    ['application commands', `${ESC}_Gf=24;AAAA${ESC}\\`],
    ['privacy messages and SOS', `${ESC}^x${ESC}\\${ESC}Xy${ESC}\\`],
    ['questions: attributes', `${ESC}[c${ESC}[0c${ESC}[>c${ESC}[=c${ESC}Z`],
    ['questions: status and position', `${ESC}[5n${ESC}[6n${ESC}[?6n`],
    ['questions: size, title, mode', `${ESC}[18t${ESC}[21t${ESC}[?25$p${ESC}[x`],
    ['modes', `${ESC}[?1049h${ESC}[?25l${ESC}[?2004h${ESC}[4h${ESC}[?1000h${ESC}=${ESC}>`],
    ['resets and character sets', `${ESC}c${ESC}[!p${ESC}(0${ESC})0\u{e}\u{f}${ESC}#8`],
    ['the keyboard', `${ESC}[>4;2m${ESC}[>1u${ESC}[<u`],
    ['the cursor’s shape', `${ESC}[2 q`],
    ['windows', `${ESC}[3;0;0t${ESC}[22;0t`],
    ['the bell and NUL', '\u{7}\u{0}\u{5}'],
    ['CSI in eight bits that asks', '\u{9b}6n'],
    ['reversed text', '\u{202e}\u{2066}\u{200b}\u{feff}'],
    ['a sequence without end', `${ESC}]0;${'x'.repeat(5000)}`],
    ['sequences inside strings', `${ESC}]0;${'\u{9b}'}6n\u{7}`],
  ])('%s', (_, text) => {
    expect(filter(`a${text}`)).toBe('a')
  })

  test('what stands behind a string that was cut off by another sequence', () => {
    expect(filter(`${ESC}]0;x${ESC}[31mred`)).toBe(`${ESC}[31mred`)
    expect(filter(`${ESC}[12${ESC}[31mred`)).toBe(`${ESC}[31mred`)
    expect(filter(`${ESC}[12\u{18}text`)).toBe('text')
  })

  test('bytes that are no UTF-8, as what they are', () => {
    expect(filter(Uint8Array.of(0x61, 0xff, 0x9b, 0x36, 0x6e, 0xc3, 0x62))).toBe(
      'a\u{fffd}\u{fffd}6n\u{fffd}b',
    )
  })
})

/** All that may come out: no ESC but before what is named here, no other control, nothing of eight bits. */
const HARMLESS =
  // biome-ignore lint/suspicious/noControlCharactersInRegex: controls are what this is about.
  /^(?:[\x08-\x0d\x20-\x7e]|[^\x00-\x9f]|\x1b[DEM78]|\x1b\[[0-9;:]*[ABCDEFGHIJKLMPSTXZ@`adefm])*$/u

test('nothing harmful comes out, whatever goes in and however it is cut', () => {
  const piece = fc.oneof(
    fc.constantFrom(
      ESC,
      `${ESC}[`,
      `${ESC}]`,
      `${ESC}P`,
      `${ESC}\\`,
      '\u{9b}',
      '\u{9d}',
      '\u{9c}',
      '\u{7}',
      '?25h',
      '6n',
      '31m',
      '52;c;x',
      '\u{18}',
    ),
    fc.string({ unit: 'binary', maxLength: 6 }),
  )
  const input = fc.oneof(
    fc.array(piece, { maxLength: 40 }).map((parts) => bytes(parts.join(''))),
    fc.uint8Array({ maxLength: 60 }),
  )
  fc.assert(
    fc.property(input, fc.nat(100), (recorded, cut) => {
      const whole = filter(recorded)
      expect(whole).toMatch(HARMLESS)
      const inTwo = new PlaybackFilter()
      const parts = [inTwo.push(recorded.subarray(0, cut)), inTwo.push(recorded.subarray(cut))]
      expect(new TextDecoder().decode(concat(parts))).toBe(whole)
    }),
    { numRuns: 3000, seed: 4 },
  )
})
