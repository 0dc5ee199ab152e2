// Plain JavaScript on purpose: it must run, and explain itself, on a Node too old for the rest.
// npm scripts find the pinned Node in node_modules/.bin first; without `npm ci` they fall back to the machine's.
const [major = 0, minor = 0] = process.versions.node.split('.').map(Number)
if (major < 24 || (major === 24 && minor < 15)) {
  process.stderr.write(
    `gatebook needs Node 24.15 or later and this is ${process.version}.\n` +
      'In a checkout, `npm ci` brings the right one; then use `npm start`, `npm test` or `npm run gatebook`.\n',
  )
  process.exit(1)
}
