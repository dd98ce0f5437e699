// Elastic Path's own SDK, unchanged but for the host: limited and full tokens, a customer, orders.
// Prints what it saw as one JSON object.
const { gateway } = require('@moltin/sdk')

const { HOST, CLIENT_ID, CLIENT_SECRET, EMAIL, PASSWORD } = process.env

// The SDK keeps its token in a storage; one for each client, in memory.
const storage = () => {
  const kept = new Map()
  return { get: (key) => kept.get(key) ?? null, set: (key, value) => kept.set(key, value), delete: (key) => kept.delete(key) }
}
let tokens = 0
const counting = (url, options) => {
  if (url.endsWith('/oauth/access_token')) tokens += 1
  return fetch(url, options)
}
const client = (secret) => {
  const made = gateway({ client_id: CLIENT_ID, client_secret: secret, host: HOST, storage: storage(), custom_fetch: counting })
  made.config.protocol = 'http'
  return made
}
const failure = async (work) => {
  try {
    await work
    return null
  } catch (error) {
    return error.errors ? error.errors[0] : String(error)
  }
}

const main = async () => {
  const seen = {}
  const limited = client(undefined)
  seen.products = (await limited.Products.All()).data
  seen.identifier = (await limited.Authenticate()).identifier
  const before = tokens
  seen.refused = await failure(limited.Products.Create({ type: 'product', name: 'x' }))
  seen.tokensForARefusal = tokens - before
  const signedIn = await limited.Customers.TokenViaPassword(EMAIL, PASSWORD)
  seen.customer = { type: signedIn.data.type, id: signedIn.data.customer_id }
  seen.wrongPassword = await failure(limited.Customers.TokenViaPassword(EMAIL, 'something else'))
  seen.ordersAlone = await failure(limited.Orders.All())
  seen.orders = (await limited.Orders.All(signedIn.data.token)).data
  const full = client(CLIENT_SECRET)
  seen.created = (await full.Products.Create({ type: 'product', name: 'x' })).data
  seen.fullIdentifier = (await full.Authenticate()).identifier
  console.log(JSON.stringify(seen))
}
main().catch((error) => {
  console.error(error)
  process.exit(1)
})
