// Command balance asks for an account's balance, with Go's standard library only.
package main

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"sort"
	"strings"
	"time"
)

// Exit codes.
const (
	configuration = 3
	refused       = 4
	network       = 5
	server        = 6
)

// A constant, because json.Marshal of a nil map would send null.
const body = "{}"

var (
	uuidPattern     = regexp.MustCompile(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`)
	currencyPattern = regexp.MustCompile(`^[A-Z][A-Z0-9]{2,9}$`)
	amountPattern   = regexp.MustCompile(`^-?[0-9]{1,18}(\.[0-9]{1,18})?$`)
)

type balanceError struct {
	exitCode int
	message  string
}

func (e *balanceError) Error() string { return e.message }

func fail(exitCode int, format string, arguments ...any) error {
	return &balanceError{exitCode, fmt.Sprintf(format, arguments...)}
}

// Balance keeps amounts as the strings they came as: exact, as a float64 would not be. Reckon with math/big.
type Balance struct {
	Currency       string `json:"currency"`
	Balance        string `json:"balance"`
	Hold           string `json:"hold"`
	RollingReserve string `json:"rolling_reserve"`
	PendingPayouts string `json:"pending_payouts"`
}

// Client can ask as often as you like, from many goroutines: the key is read, and used, only in NewClient.
type Client struct {
	url   string
	key   *rsa.PrivateKey
	sign  string
	http  *http.Client
	Fresh bool // sign each request anew, so that each is good once, for servers that know it
}

// NewClient reads the key in the folder keys. An empty caBundle means the system's certificate authorities.
func NewClient(baseURL, keys, caBundle string) (*Client, error) {
	if err := checkAddress(baseURL); err != nil {
		return nil, err
	}
	key, err := loadKey(keys)
	if err != nil {
		return nil, err
	}
	// The body never changes and this kind of signature has no random part, so one signature serves every
	// request. Whoever reads it can ask too: keep it out of logs.
	signature, err := signed(key, body)
	if err != nil {
		return nil, fail(configuration, "The key in %s cannot sign: %v", keys, err)
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	if caBundle != "" {
		roots, err := loadBundle(caBundle)
		if err != nil {
			return nil, err
		}
		transport.TLSClientConfig = &tls.Config{RootCAs: roots}
	}
	return &Client{
		url:  strings.TrimRight(baseURL, "/") + "/v1/account/balance",
		key:  key,
		sign: signature,
		http: &http.Client{
			Transport: transport,
			Timeout:   30 * time.Second,
			// A redirect would take the Sign header to wherever it points.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}, nil
}

func signed(key *rsa.PrivateKey, body string) (string, error) {
	digest := sha256.Sum256([]byte(body))
	signature, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, digest[:])
	return base64.StdEncoding.EncodeToString(signature), err
}

// The body of a request that is good once, and its signature.
func (c *Client) stamped(account string) (string, string, error) {
	nonce := make([]byte, 16)
	if _, err := rand.Read(nonce); err != nil {
		return "", "", err
	}
	body := fmt.Sprintf(`{"account":%q,"timestamp":%d,"nonce":%q}`,
		account, time.Now().Unix(), base64.RawURLEncoding.EncodeToString(nonce))
	sign, err := signed(c.key, body)
	return body, sign, err
}

// Balance asks for the balance of the account with this uuid.
func (c *Client) Balance(account string) (*Balance, error) {
	body, sign := body, c.sign
	if c.Fresh {
		var err error
		if body, sign, err = c.stamped(account); err != nil {
			return nil, fail(configuration, "The request cannot be signed: %v", err)
		}
	}
	request, err := http.NewRequest(http.MethodPost, c.url, strings.NewReader(body))
	if err != nil {
		return nil, fail(configuration, "ALIKASSA_BASE_URL is not an address: %v", err)
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Account", account)
	request.Header.Set("Sign", sign)
	request.Header.Set("User-Agent", "alikassa-example-go")
	response, err := c.http.Do(request)
	if err != nil {
		return nil, c.noAnswer(err)
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, c.noAnswer(err)
	}
	return readAnswer(response.StatusCode, content)
}

func (c *Client) noAnswer(err error) error {
	return fail(network, "No answer from %s: %v\n"+
		"Check the address and the network. A private CA is named with ALIKASSA_CA_BUNDLE.", c.url, err)
}

func readAnswer(status int, content []byte) (*Balance, error) {
	if status != http.StatusOK {
		return nil, readError(status, content)
	}
	var balance Balance
	// Fields of type string: a bare number is an error here, never a float.
	if err := json.Unmarshal(content, &balance); err != nil {
		return nil, fail(server, "The answer is not a balance: %v. Check ALIKASSA_BASE_URL.", err)
	}
	if !currencyPattern.MatchString(balance.Currency) {
		return nil, fail(server, "The answer's currency is not what it should be. Do not use this answer.")
	}
	for _, amount := range []string{
		balance.Balance, balance.Hold, balance.RollingReserve, balance.PendingPayouts,
	} {
		if !amountPattern.MatchString(amount) {
			return nil, fail(server, "An amount in the answer is missing or wrong. Do not use this answer.")
		}
	}
	return &balance, nil
}

func readError(status int, content []byte) error {
	var answer struct {
		Message string          `json:"message"`
		Errors  json.RawMessage `json:"errors"`
	}
	if err := json.Unmarshal(content, &answer); err != nil {
		return fail(server, "HTTP %d without a readable message: %v. Check ALIKASSA_BASE_URL.", status, err)
	}
	if status != http.StatusBadRequest {
		return fail(server, "HTTP %d: %s", status, answer.Message)
	}
	var reasons map[string][]string
	// In its own step, so that details of another shape do not cost us the message.
	_ = json.Unmarshal(answer.Errors, &reasons)
	fields := make([]string, 0, len(reasons))
	for field := range reasons {
		fields = append(fields, field)
	}
	sort.Strings(fields)
	text := "The server refused the request: " + answer.Message
	for _, field := range fields {
		for _, reason := range reasons[field] {
			text += "\n  " + field + ": " + reason
		}
	}
	return fail(refused, "%s", text)
}

func loadKey(keys string) (*rsa.PrivateKey, error) {
	content, err := os.ReadFile(filepath.Join(keys, "private.pem"))
	if err != nil {
		return nil, noArchive(err)
	}
	passphrase, err := os.ReadFile(filepath.Join(keys, "password.txt"))
	if err != nil {
		return nil, noArchive(err)
	}
	block, _ := pem.Decode(content)
	if block == nil || block.Type != "RSA PRIVATE KEY" {
		return nil, fail(configuration, "Go reads only the traditional form of private.pem in %s. Convert it:\n"+
			"openssl rsa -traditional -aes256 -in private.pem -out traditional.pem", keys)
	}
	// Deprecated, since this way of encrypting does not detect tampering; but the provider's archive uses it,
	// and the standard library has no other reader. The file is our own, so nobody profits from tampering.
	der, err := x509.DecryptPEMBlock(block, []byte(strings.TrimRight(string(passphrase), "\r\n")))
	if err != nil {
		return nil, fail(configuration, "In %s, password.txt does not open private.pem.", keys)
	}
	// A wrong passphrase passes the padding check about once in 256 times, and then fails here.
	key, err := x509.ParsePKCS1PrivateKey(der)
	if err != nil {
		return nil, fail(configuration, "In %s, password.txt does not open private.pem.", keys)
	}
	return key, nil
}

func noArchive(err error) error {
	return fail(configuration, "%v\nSet ALIKASSA_KEYS to the folder of private.pem and password.txt.", err)
}

func loadBundle(path string) (*x509.CertPool, error) {
	content, err := os.ReadFile(path)
	roots := x509.NewCertPool()
	if err != nil || !roots.AppendCertsFromPEM(content) {
		return nil, fail(configuration, "ALIKASSA_CA_BUNDLE=%s has no certificates.", path)
	}
	return roots, nil
}

func checkAddress(baseURL string) error {
	base, err := url.Parse(baseURL)
	if err == nil && base.Hostname() != "" {
		switch host := base.Hostname(); {
		case base.Scheme == "https":
			return nil
		case base.Scheme == "http" && (host == "localhost" || host == "127.0.0.1" || host == "::1"):
			return nil
		}
	}
	return fail(configuration, "ALIKASSA_BASE_URL must be https:// (or http:// to this machine).")
}

func run() error {
	account := os.Getenv("ALIKASSA_ACCOUNT")
	if !uuidPattern.MatchString(account) {
		return fail(configuration, "Set ALIKASSA_ACCOUNT to the account's uuid.")
	}
	client, err := NewClient(
		setting("ALIKASSA_BASE_URL", "https://api-merchant.alikassa.com"),
		setting("ALIKASSA_KEYS", "cert/payout"),
		os.Getenv("ALIKASSA_CA_BUNDLE"),
	)
	if err != nil {
		return err
	}
	client.Fresh = os.Getenv("ALIKASSA_FRESH") == "1"
	balance, err := client.Balance(account)
	if err != nil {
		return err
	}
	fmt.Printf("currency %s\nbalance %s\nhold %s\nrolling_reserve %s\npending_payouts %s\n",
		balance.Currency, balance.Balance, balance.Hold, balance.RollingReserve, balance.PendingPayouts)
	return nil
}

func setting(name, otherwise string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return otherwise
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		var failure *balanceError
		if errors.As(err, &failure) {
			os.Exit(failure.exitCode)
		}
		os.Exit(1)
	}
}
