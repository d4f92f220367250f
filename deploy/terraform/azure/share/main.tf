# The share: one file share behind a private endpoint, reached from this network and from nowhere else.
#
# Azure Files knows who has the account's key or reaches the endpoint, not which workload that is: whoever mounts the share
# may write as any workload on it. Teams that do not trust each other get a share and an agent each.

locals {
  is_nfs = var.protocol == "NFS"
}

resource "azurerm_storage_account" "share" {
  name                     = var.name
  resource_group_name      = var.resource_group_name
  location                 = var.location
  account_kind             = local.is_nfs ? "FileStorage" : "StorageV2"
  account_tier             = local.is_nfs ? "Premium" : "Standard"
  account_replication_type = var.replication
  min_tls_version          = "TLS1_2"
  # NFS of Azure Files is not encrypted, and is refused where encryption is demanded.
  https_traffic_only_enabled      = !local.is_nfs
  public_network_access_enabled   = false
  allow_nested_items_to_be_public = false
  # The key is what SMB shows.
  shared_access_key_enabled = true
  tags                      = var.tags
}

resource "azurerm_storage_share" "share" {
  name               = "share"
  storage_account_id = azurerm_storage_account.share.id
  quota              = var.quota_gib
  enabled_protocol   = var.protocol
}

resource "azurerm_private_dns_zone" "share" {
  name                = "privatelink.file.core.windows.net"
  resource_group_name = var.resource_group_name
  tags                = var.tags
}

resource "azurerm_private_dns_zone_virtual_network_link" "share" {
  name                  = var.name
  resource_group_name   = var.resource_group_name
  private_dns_zone_name = azurerm_private_dns_zone.share.name
  virtual_network_id    = var.virtual_network_id
  tags                  = var.tags
}

resource "azurerm_private_endpoint" "share" {
  name                = "${var.name}-share"
  resource_group_name = var.resource_group_name
  location            = var.location
  subnet_id           = var.subnet_id

  private_service_connection {
    name                           = "share"
    private_connection_resource_id = azurerm_storage_account.share.id
    subresource_names              = ["file"]
    is_manual_connection           = false
  }
  private_dns_zone_group {
    name                 = "share"
    private_dns_zone_ids = [azurerm_private_dns_zone.share.id]
  }
  tags = var.tags
}
