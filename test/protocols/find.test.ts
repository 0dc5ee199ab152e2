import { expect, test } from 'vitest'
import { find } from '../../protocols/bytes.ts'

test('a word is found wherever it stands, also where a long text is cut for the search', () => {
  const word = `a${'b'.repeat(126)}c`
  for (const length of [128, 1000, 65_536, 65_537, 200_000]) {
    const bytes = Buffer.alloc(length, 'x')
    expect(find(bytes, /ab+c/)).toBeNull()
    for (const at of [0, 65_400, 65_408, 65_409, 65_472, 65_535, 130_900, 130_944, length - 128]) {
      if (at + word.length > length) continue
      const text = Buffer.from(bytes)
      text.write(word, at, 'latin1')
      expect(find(text, /a(b+)c/)?.[1]?.length, `${at} of ${length}`).toBe(126)
    }
  }
  expect(find(new Uint8Array(0), /x/)).toBeNull()
})
