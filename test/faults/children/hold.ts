/** Opens the book in argv[2] and holds it until it is killed. */
import { openBook } from '../../../src/book/open.ts'

const [, , directory = ''] = process.argv
try {
  const book = openBook(directory)
  process.stdout.write('open\n')
  // Without a reference to it the book would be collected, and its lock with it.
  setInterval(() => book.head, 1000)
} catch (error) {
  process.stdout.write(`${error instanceof Error && 'code' in error ? String(error.code) : String(error)}\n`)
  process.exitCode = 1
}
