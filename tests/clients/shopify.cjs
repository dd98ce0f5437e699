// Shopify's own library, unchanged but for where its requests go: the shop's host is looked up at the gateway.
// Prints what it saw as one JSON object.
const http = require('node:http')
require('@shopify/shopify-api/adapters/node')
const { shopifyApi, LogSeverity } = require('@shopify/shopify-api')
const { setAbstractFetchFunc } = require('@shopify/shopify-api/runtime')

const { HOST, SHOP, CLIENT_ID, CLIENT_SECRET } = process.env
const [hostname, port] = HOST.split(':')

// As DNS and TLS in front of the gateway would have it: https://SHOP/… arrives with Host: SHOP.
setAbstractFetchFunc(
  (input, options = {}) =>
    new Promise((resolve, reject) => {
      const url = new URL(input)
      const headers = Object.fromEntries(new Headers(options.headers).entries())
      const sent = http.request(
        { hostname, port, path: url.pathname + url.search, method: options.method ?? 'GET', headers: { ...headers, host: url.host } },
        (answer) => {
          const parts = []
          answer.on('data', (part) => parts.push(part))
          answer.on('end', () => {
            const body = Buffer.concat(parts)
            resolve(new Response(body, { status: answer.statusCode, statusText: answer.statusMessage, headers: answer.headers }))
          })
        },
      )
      sent.on('error', reject)
      sent.end(options.body)
    }),
)

const api = (secret) =>
  shopifyApi({
    apiKey: CLIENT_ID,
    apiSecretKey: secret,
    scopes: ['write_products'],
    hostName: 'app.example',
    apiVersion: '2025-10',
    isEmbeddedApp: true,
    logger: { level: LogSeverity.Error, log: async () => {} },
  })
const failure = async (work) => {
  try {
    await work
    return null
  } catch (error) {
    return { name: error.constructor.name, code: error.response?.code, body: error.response?.body }
  }
}

const main = async () => {
  const seen = {}
  const shopify = api(CLIENT_SECRET)
  const { session } = await shopify.auth.clientCredentials({ shop: SHOP })
  seen.prefix = session.accessToken.slice(0, 6)
  seen.scope = session.scope
  seen.isActive = session.isActive('write_products')
  seen.seconds = Math.round((session.expires.getTime() - Date.now()) / 1000)
  const graphql = new shopify.clients.Graphql({ session })
  seen.graphql = (await graphql.request('{ shop { name } }')).data
  const rest = new shopify.clients.Rest({ session })
  seen.rest = (await rest.get({ path: 'products' })).body
  seen.refused = await failure(rest.post({ path: 'orders', data: {} }))
  seen.wrongSecret = await failure(api('shpss_wrong').auth.clientCredentials({ shop: SHOP }))
  seen.otherShop = await failure(shopify.auth.clientCredentials({ shop: 'other.myshopify.com' }))
  console.log(JSON.stringify(seen))
}
main().catch((error) => {
  console.error(error)
  process.exit(1)
})
