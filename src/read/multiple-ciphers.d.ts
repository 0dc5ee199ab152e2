// The package's own types are not where its `exports` point to; its interface is better-sqlite3's.
declare module 'better-sqlite3-multiple-ciphers' {
  import Sqlite = require('better-sqlite3')
  export = Sqlite
}
