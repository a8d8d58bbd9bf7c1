// A receiver of waybill's deliveries: Go 1.19 or later, the standard library alone.
// SECRET=… [PORT=9000] go run receiver.go
package main

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	bodyMax   = 17 << 20 // over waybill's longest event in canonical form
	tolerance = 300     // seconds
	seenMax   = 100000
)

var secret = os.Getenv("SECRET")

// Standard Webhooks: over the id and the time too, so that neither can be changed or be old.
func isSigned(h http.Header, body []byte) bool {
	id, at := h.Get("webhook-id"), h.Get("webhook-timestamp")
	sent, err := strconv.ParseInt(at, 10, 64)
	off := time.Now().Unix() - sent
	if id == "" || id != h.Get("X-Webhook-Id") || err != nil || off > tolerance || off < -tolerance {
		return false
	}
	if strings.HasPrefix(secret, "whpk_") {
		return isByPair(h, append([]byte(id+"."+at+"."), body...))
	}
	key := []byte(secret)
	if strings.HasPrefix(secret, "whsec_") {
		key, _ = base64.StdEncoding.DecodeString(secret[len("whsec_"):])
	}
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(id + "." + at + "."))
	mac.Write(body)
	wanted := "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
	for _, given := range strings.Fields(h.Get("webhook-signature")) { // two during a rotation
		if hmac.Equal([]byte(given), []byte(wanted)) {
			return true
		}
	}
	return false
}

// The same of a webhook with signature ed25519: SECRET is then its public key, whpk_…
func isByPair(h http.Header, signed []byte) bool {
	key, err := base64.StdEncoding.DecodeString(secret[len("whpk_"):])
	if err != nil || len(key) != ed25519.PublicKeySize {
		return false
	}
	for _, given := range strings.Fields(h.Get("webhook-signature")) {
		signature, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(given, "v1a,"))
		if err == nil && ed25519.Verify(key, signed, signature) {
			return true
		}
	}
	return false
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
	} else if !isSigned(r.Header, body) {
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
