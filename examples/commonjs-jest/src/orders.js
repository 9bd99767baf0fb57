const { queue } = require('./queue')

async function placeOrder(tx, { customer, cents }) {
  const { rows } = await tx.query('insert into orders (customer, cents) values ($1, $2) returning id', [
    customer,
    cents,
  ])
  const order = { id: rows[0].id, customer, cents }
  await queue.publish('order.created', order, { tx, key: order.id })
  return order
}

/** False when there is no such order, or it is paid already: a bank may tell us twice. */
async function markPaid(tx, id) {
  const { rowCount } = await tx.query('update orders set paid = true where id = $1 and not paid', [id])
  if (rowCount === 0) return false
  await queue.publish('order.paid', { id }, { tx, key: id })
  return true
}

module.exports = { markPaid, placeOrder }
