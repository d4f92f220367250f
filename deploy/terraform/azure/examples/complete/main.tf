# All of it in one resource group: the share, the agent, and a workload with its own scale set. Media servers or the vault
# are behind var.upstream.

provider "azurerm" {
  features {}
}

module "share" {
  source              = "../../share"
  name                = var.account
  resource_group_name = var.resource_group_name
  location            = var.location
  virtual_network_id  = var.virtual_network_id
  subnet_id           = var.subnet_id
}

module "agent" {
  source               = "../../agent"
  name                 = "eu-1"
  resource_group_name  = var.resource_group_name
  location             = var.location
  subnet_id            = var.subnet_id
  share                = module.share.share
  image_id             = var.image_id
  admin_ssh_public_key = var.admin_ssh_public_key
  upstream             = var.upstream
  key_vault_id         = var.key_vault_id
  key_vault            = var.key_vault
  token_secret         = "outlast-agent-eu-1"
}

module "shop_files" {
  source    = "../../workload"
  workload  = "shop-files"
  share     = module.share.share
  key_vault = var.key_vault
  drop      = ["files", "/srv/shop"]
}

# What the application team has anyway; the lines with module.shop_files are what it adds.

resource "azurerm_user_assigned_identity" "shop" {
  name                = "shop"
  resource_group_name = var.resource_group_name
  location            = var.location
}

resource "azurerm_role_assignment" "shop" {
  scope                = "${var.key_vault_id}/secrets/outlast-share-key"
  role_definition_name = "Key Vault Secrets User"
  principal_id         = azurerm_user_assigned_identity.shop.principal_id
}

resource "azurerm_linux_virtual_machine_scale_set" "shop" {
  name                = "shop"
  resource_group_name = var.resource_group_name
  location            = var.location
  sku                 = "Standard_B2s"
  instances           = 2
  source_image_id     = var.image_id
  admin_username      = "shop"
  custom_data         = base64encode(module.shop_files.user_data)

  termination_notification {
    enabled = true
    timeout = module.shop_files.termination_timeout
  }
  identity {
    type         = "UserAssigned"
    identity_ids = [azurerm_user_assigned_identity.shop.id]
  }
  admin_ssh_key {
    username   = "shop"
    public_key = var.admin_ssh_public_key
  }
  os_disk {
    caching              = "ReadWrite"
    storage_account_type = "StandardSSD_LRS"
  }
  network_interface {
    name    = "shop"
    primary = true
    ip_configuration {
      name      = "shop"
      primary   = true
      subnet_id = var.subnet_id
    }
  }
}
