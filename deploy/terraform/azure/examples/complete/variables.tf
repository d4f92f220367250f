variable "account" {
  description = "The storage account that is made, unique in all of Azure."
  type        = string
}

variable "resource_group_name" {
  description = "A resource group."
  type        = string
}

variable "location" {
  description = "The region of everything."
  type        = string
  default     = "westeurope"
}

variable "virtual_network_id" {
  description = "A virtual network."
  type        = string
}

variable "subnet_id" {
  description = "A subnet of it."
  type        = string
}

variable "image_id" {
  description = "An image with outlast, curl and cifs-utils."
  type        = string
}

variable "admin_ssh_public_key" {
  description = "The key that Azure demands."
  type        = string
}

variable "upstream" {
  description = "Where the agent ships."
  type        = string
  default     = "https://media.example:8443/"
}

variable "key_vault_id" {
  description = "A Key Vault that decides by roles, with the secrets outlast-agent-eu-1 and outlast-share-key."
  type        = string
}

variable "key_vault" {
  description = "Its name."
  type        = string
}
