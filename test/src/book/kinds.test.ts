import { describe, expect, test } from 'vitest'
import { ALWAYS, KINDS, PLACE } from '../../../src/book/kinds.ts'
import { KINDS as WRITTEN } from '../../support/second-verifier.ts'

describe('FORMAT.md has the kinds as the code has them', () => {
  test('the same ones', () => {
    expect([...WRITTEN.keys()]).toEqual(Object.keys(KINDS))
  })

  test.each(Object.entries(KINDS))('%s', (name, { required, optional }) => {
    const written = WRITTEN.get(name)
    expect(new Set(written?.required)).toEqual(new Set([...ALWAYS, ...PLACE, ...required]))
    expect(new Set(written?.words.keys())).toEqual(new Set([...ALWAYS, ...PLACE, ...required, ...optional]))
  })

  test.each(Object.entries(KINDS))('%s, with the words of its lists', (name, { words = {} }) => {
    // `out` and `sev` are closed by their shapes in the text, and by kind in the code where it is less than the shape.
    const closed = Object.entries(words).filter(
      ([member, list]) => member !== 'sev' && !(member === 'out' && list.length === 6),
    )
    const written = [...(WRITTEN.get(name)?.words ?? [])].filter(([, list]) => list !== undefined)
    expect(new Map(written.map(([member, list]) => [member, new Set(list)]))).toEqual(
      new Map(closed.map(([member, list]) => [member, new Set(list)])),
    )
  })
})
