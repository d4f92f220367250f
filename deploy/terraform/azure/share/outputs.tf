output "share" {
  description = "What the modules agent and workload take as `share`. The account's key is not in it: bring it to Key Vault by hand, once, and again when it changes."
  value = {
    account  = azurerm_storage_account.share.name
    share    = azurerm_storage_share.share.name
    protocol = var.protocol
  }
}
