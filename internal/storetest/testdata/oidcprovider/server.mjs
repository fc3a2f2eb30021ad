// Starts the OpenID provider of the tests: oidc-provider, as it is, keeping nothing. The one
// argument is JSON, made in ../../issuer.go. It prints the issuer's URL once it answers and
// ends when standard input does, so that it goes with the test that started it, however that ends.
import Provider from 'oidc-provider';

const { port, keys, redirectURIs, secret, algorithm, accounts, machine, claimsInIDToken } = JSON.parse(process.argv[2]);
const issuer = `http://127.0.0.1:${port}`;
const scopes = ['credits:read', 'credits:export', 'credits:admin', 'alerts:write', 'events:write', 'operator'];

const browser = {
  redirect_uris: redirectURIs, response_types: ['code'], grant_types: ['authorization_code'], id_token_signed_response_alg: algorithm,
};

const provider = new Provider(issuer, {
  clients: [
    { ...browser, client_id: 'confidential', client_secret: secret, token_endpoint_auth_method: 'client_secret_basic' },
    { ...browser, client_id: 'confidential-post', client_secret: secret, token_endpoint_auth_method: 'client_secret_post' },
    { ...browser, client_id: 'public', token_endpoint_auth_method: 'none' },
    {
      client_id: 'machine', client_secret: secret, redirect_uris: [], response_types: [], grant_types: ['client_credentials'],
      id_token_signed_response_alg: algorithm,
    },
  ],
  jwks: { keys },
  cookies: { keys: ['of no worth'] },
  pkce: { required: () => true },
  scopes: ['openid', 'drawdown'],
  claims: { openid: ['sub'], drawdown: ['workspaces', 'scope'] },
  // True is what OpenID Connect Core 5.4 says: with a code flow these claims are told at userinfo alone.
  conformIdTokenClaims: !claimsInIDToken,
  findAccount: (_, id, token) => {
    const known = accounts[id] && !(accounts[id].forgotten && token?.kind === 'AccessToken');
    return known ? { accountId: id, claims: () => ({ sub: id, ...accounts[id] }) } : undefined;
  },
  // Access tokens for a resource are JWTs with the workspaces of who they are about; their scope is what was granted.
  extraTokenClaims: (_, token) => ({ workspaces: (token.accountId ? accounts[token.accountId] : machine).workspaces }),
  features: {
    clientCredentials: { enabled: true },
    devInteractions: { enabled: true },
    resourceIndicators: {
      enabled: true,
      useGrantedResource: () => true,
      getResourceServerInfo: (_, indicator) => ({
        scope: scopes.join(' '), audience: indicator, accessTokenFormat: 'jwt', jwt: { sign: { alg: algorithm } },
      }),
    },
  },
  ttl: {
    AccessToken: 3600, AuthorizationCode: 60, ClientCredentials: 3600, Grant: 3600, IdToken: 3600, Interaction: 600, Session: 3600,
  },
});
provider.on('server_error', (_, error) => console.error(error));

process.stdin.on('close', () => process.exit(0)).resume();
provider.listen(port, '127.0.0.1', () => console.log(issuer));
