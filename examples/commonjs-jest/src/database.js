const { readFile } = require('node:fs/promises')
const { join } = require('node:path')

/** Work in a transaction of its own: what it writes and what it publishes are committed together, or neither is. */
async function inTransaction(pool, work) {
  const client = await pool.connect()
  try {
    await client.query('begin')
    const result = await work(client)
    await client.query('commit')
    return result
  } catch (error) {
    await client.query('rollback')
    throw error
  } finally {
    client.release()
  }
}

/** Makes the application's own tables. */
async function applySchema(pool) {
  await pool.query(await readFile(join(__dirname, '../schema.sql'), 'utf8'))
}

module.exports = { applySchema, inTransaction }
