/**
 * Loaded before a gateway whose memory is measured: collects all garbage of the main thread when it is told to. V8 does
 * so by itself some ten seconds after work has stopped, or later; what logins left behind is not what a session holds.
 */
const { gc } = globalThis
if (gc === undefined) throw new Error('needs --expose-gc')
process.on('SIGUSR2', () => gc())
