import { expect, test } from 'vitest'
import { bookStatus } from '../../../../src/cli/book/book.ts'
import { checkBook } from '../../../support/check-book.ts'
import { collectingIo } from '../../../support/io.ts'
import { newBook, ORIGIN, startRecorder } from '../../../support/recorder.ts'

test('the state of a book that no gateway holds is read, and nothing is written for it', async () => {
  const data = newBook()
  await (await startRecorder(data)).recorder.stop()
  const { size } = checkBook(data)
  const io = collectingIo()
  expect(await bookStatus({ data }, io)).toBe(0)
  expect(io.out().split('\n').slice(0, 4)).toEqual([
    `origin     ${ORIGIN}`,
    `records    ${size}`,
    'state      no gateway runs',
    '',
  ])
  expect(checkBook(data, { closed: true }).size).toBe(size)
})
