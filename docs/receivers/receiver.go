// A receiver of waybill's deliveries: Go 1.19 or later, the standard library alone.
// SECRET=… [SCHEME=standard|v1|v2|ed25519|rfc9421] [ORIGIN=https://…] [PORT=9000] go run receiver.go
package main

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	bodyMax   = 17 << 20 // over waybill's longest event in canonical form
	tolerance = 300      // seconds
	seenMax   = 100000
)

var (
	secret = os.Getenv("SECRET")
	isPair = strings.HasPrefix(secret, "whpk_") // secret is then the webhook's public key
	scheme = os.Getenv("SCHEME")
	origin = os.Getenv("ORIGIN") // of the webhook's URL, for rfc9421: what it is called outside
	key    = readKey()
)

func stop(why string) {
	fmt.Fprintln(os.Stderr, why)
	os.Exit(1)
}

// The key. Without one that is good nothing starts: by an empty one anybody can sign.
func readKey() []byte {
	key, err := []byte(secret), error(nil)
	if strings.HasPrefix(secret, "whsec_") || isPair {
		_, text, _ := strings.Cut(secret, "_")
		key, err = base64.RawStdEncoding.DecodeString(strings.TrimRight(text, "="))
	}
	if err != nil || len(key) == 0 || strings.HasPrefix(secret, "whsk_") ||
		isPair && len(key) != ed25519.PublicKeySize {
		stop("SECRET must be the webhook's secret, or its public_key")
	}
	known := map[string]bool{"standard": !isPair, "v1": !isPair, "v2": !isPair,
		"ed25519": isPair, "rfc9421": true}
	if scheme == "" {
		scheme = map[bool]string{true: "ed25519", false: "standard"}[isPair]
	}
	if !known[scheme] {
		stop("SCHEME must be standard, v1, v2 or rfc9421; of a public key ed25519 or rfc9421")
	}
	return key
}

// The header's value; "" without one, or with two: which of them would be signed?
func one(r *http.Request, name string) string {
	if values := r.Header.Values(name); len(values) == 1 {
		return strings.TrimSpace(values[0])
	}
	return ""
}

func isFresh(at string) bool {
	sent, err := strconv.ParseUint(at, 10, 40)
	off := time.Now().Unix() - int64(sent)
	return err == nil && off <= tolerance && off >= -tolerance
}

func code(key []byte, message []byte) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write(message)
	return mac.Sum(nil)
}

// Whether the signature, base64, is by the secret or the key pair.
func isByKey(given string, message []byte) bool {
	signature, err := base64.StdEncoding.DecodeString(given)
	if isPair {
		return err == nil && ed25519.Verify(key, message, signature)
	}
	return err == nil && hmac.Equal(signature, code(key, message))
}

// v1: over the body, and nothing else; v2: over the time too.
func isSignedBody(r *http.Request, body []byte) bool {
	if scheme == "v2" {
		at := one(r, "X-Webhook-Timestamp")
		if !isFresh(at) {
			return false
		}
		body = append([]byte(at+"."), body...)
	}
	wanted := "sha256=" + hex.EncodeToString(code([]byte(secret), body))
	return hmac.Equal([]byte(one(r, "X-Webhook-Signature")), []byte(wanted))
}

// Standard Webhooks: over the id and the time too, so that neither can be changed or be old.
func isStandard(r *http.Request, body []byte) bool {
	at, version := one(r, "webhook-timestamp"), "v1,"
	if scheme == "ed25519" {
		version = "v1a,"
	}
	message := append([]byte(one(r, "webhook-id")+"."+at+"."), body...)
	for _, given := range strings.Fields(one(r, "webhook-signature")) { // two in a rotation
		if strings.HasPrefix(given, version) && isFresh(at) && isByKey(given[len(version):], message) {
			return true
		}
	}
	return false
}

var (
	input = regexp.MustCompile(`^([a-z][a-z0-9]*)=(\(("[^"]+"(?: "[^"]+")*)\)` +
		`((?:;[a-z]+=(?:[0-9]+|"[^"\\]*"))*))(?:, *|$)`)
	signature = regexp.MustCompile(`^([a-z][a-z0-9]*)=:([A-Za-z0-9+/=]+):(?:, *|$)`)
	parameter = regexp.MustCompile(`;([a-z]+)=([0-9]+|"[^"]*")`)
	covered   = []string{"@method", "@target-uri", "content-digest", "webhook-id"} // these at least
)

// The labels of a header; none where anything is not of the form, or a label is there twice.
func members(pattern *regexp.Regexp, text string) map[string][]string {
	found := map[string][]string{}
	for text != "" {
		match := pattern.FindStringSubmatch(text)
		if match == nil || found[match[1]] != nil {
			return nil
		}
		found[match[1]] = match
		text = text[len(match[0]):]
	}
	return found
}

// The text that a label signs, after section 2.5 of RFC 9421; false where something lacks.
func signatureBase(r *http.Request, found []string) (string, bool) {
	var base strings.Builder
	outside := origin
	if outside == "" {
		outside = "http://" + r.Host
	}
	derived := map[string]string{"@method": r.Method, "@target-uri": outside + r.RequestURI}
	names := map[string]bool{}
	for _, name := range strings.Split(strings.Trim(found[3], `"`), `" "`) {
		value := derived[name]
		if value == "" {
			value = one(r, name)
		}
		names[name] = value != ""
		fmt.Fprintf(&base, "\"%s\": %s\n", name, value)
	}
	for _, name := range covered {
		if !names[name] {
			return "", false
		}
	}
	return base.String() + `"@signature-params": ` + found[2], true
}

// HTTP Message Signatures, RFC 9421: over what Signature-Input lists.
func isMessageSigned(r *http.Request, body []byte) bool {
	digest := sha256.Sum256(body)
	if one(r, "Content-Digest") != "sha-256=:"+base64.StdEncoding.EncodeToString(digest[:])+":" {
		return false
	}
	alg := map[bool]string{true: `"ed25519"`, false: `"hmac-sha256"`}[isPair]
	signatures := members(signature, one(r, "Signature"))
	for label, found := range members(input, one(r, "Signature-Input")) {
		params := map[string]string{}
		for _, one := range parameter.FindAllStringSubmatch(found[4], -1) {
			params[one[1]] = one[2]
		}
		base, good := signatureBase(r, found)
		given := signatures[label]
		if good && given != nil && params["alg"] == alg && isFresh(params["created"]) &&
			isByKey(given[2], []byte(base)) {
			return true
		}
	}
	return false
}

func isSigned(r *http.Request, body []byte) bool {
	id := one(r, "webhook-id")
	if id == "" || id != one(r, "X-Webhook-Id") {
		return false
	}
	switch scheme {
	case "rfc9421":
		return isMessageSigned(r, body)
	case "v1", "v2":
		return isSignedBody(r, body)
	}
	return isStandard(r, body)
}

// What was handled, in memory and bounded: after a restart a duplicate passes. To be safe from
// that, write the id in the same transaction as what the event changes, under a unique key.
var (
	lock  sync.Mutex
	seen  = map[string]bool{}
	order []string
)

func handle(id, event string, body []byte) error {
	lock.Lock()
	defer lock.Unlock()
	if seen[id] {
		return nil
	}
	fmt.Println(event, id, len(body)) // your work: store it, or return an error
	seen[id] = true
	if order = append(order, id); len(order) > seenMax {
		delete(seen, order[0]) // the oldest
		order = order[1:]
	}
	return nil
}

func receive(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, bodyMax))
	status := http.StatusNoContent // only after it is handled: after anything else it is sent again
	if err != nil {
		status = http.StatusRequestEntityTooLarge
	} else if !isSigned(r, body) {
		status = http.StatusUnauthorized
	} else if handle(r.Header.Get("X-Webhook-Id"), r.Header.Get("X-Webhook-Event"), body) != nil {
		status = http.StatusInternalServerError
	}
	w.WriteHeader(status)
}

func main() {
	port := os.Getenv("PORT")
	if port == "" {
		port = "9000"
	}
	listener, err := net.Listen("tcp", "127.0.0.1:"+port)
	if err != nil {
		panic(err)
	}
	fmt.Printf("listening on http://%s/\n", listener.Addr())
	server := http.Server{Handler: http.HandlerFunc(receive), ReadTimeout: time.Minute}
	panic(server.Serve(listener))
}
